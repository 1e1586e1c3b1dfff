/**
 * Which ledger this agent obeys. It takes no orders from another, nor from an older incarnation of its own; a newer
 * incarnation is written down before anything is done for it.
 */
import { join } from 'node:path';
import Type from 'typebox';
import type { LedgerRef } from '@cyborg/api-spec/agent/common';
import { readChecked, writeDurably } from './durable-file.ts';

const LedgerSchema = Type.Object({ id: Type.String(), incarnation: Type.Integer({ minimum: 1 }) });

export type Verdict = 'same' | 'newer' | 'older' | 'foreign';

export class LedgerMemory {
  readonly #file: string;
  #current: LedgerRef | undefined;

  private constructor(file: string, current: LedgerRef | undefined) {
    this.#file = file;
    this.#current = current;
  }

  static async open(stateDir: string): Promise<LedgerMemory> {
    const file = join(stateDir, 'ledger.json');
    return new LedgerMemory(file, await readChecked(file, LedgerSchema));
  }

  get current(): LedgerRef | undefined {
    return this.#current;
  }

  judge(ref: LedgerRef): Verdict {
    const known = this.#current;
    if (known === undefined) return 'newer';
    if (ref.id !== known.id) return 'foreign';
    if (ref.incarnation === known.incarnation) return 'same';
    return ref.incarnation > known.incarnation ? 'newer' : 'older';
  }

  /** Enrolment names the ledger, whatever was obeyed before: an operator has decided it with a join token. */
  async enrolledWith(ref: LedgerRef): Promise<void> {
    await writeDurably(this.#file, ref);
    this.#current = { ...ref };
  }

  /** @returns whether orders of this ledger may be taken; a newer incarnation is on disk when this returns. */
  async accept(ref: LedgerRef): Promise<Verdict> {
    const verdict = this.judge(ref);
    if (verdict === 'newer') await this.enrolledWith(ref);
    return verdict;
  }
}

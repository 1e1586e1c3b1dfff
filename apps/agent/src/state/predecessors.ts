/**
 * Runs of the agent that are known to be dead: they had this state directory, whose lock we hold now. Their lease need
 * not run out before ours begins. Only those of this boot and this network namespace count, which is as far as the lock
 * (an abstract socket) reaches: a copied state directory proves nothing.
 */
import { readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { readChecked, writeDurably } from './durable-file.ts';

const runsMax = 8;

const RunsSchema = Type.Object({
  place: Type.String(),
  /** Oldest first; the last may be alive. */
  instances: Type.Array(Type.String(), { maxItems: runsMax }),
});

export class Predecessors {
  readonly #file: string;
  readonly #place: string;
  readonly #self: string;
  #dead: readonly string[];

  private constructor(given: {
    file: string;
    place: string;
    self: string;
    dead: readonly string[];
  }) {
    this.#file = given.file;
    this.#place = given.place;
    this.#self = given.self;
    this.#dead = given.dead;
  }

  /** Call with the lock of the directory held. Our own name is on disk when this returns. */
  static async open(stateDir: string, self: string): Promise<Predecessors> {
    const file = join(stateDir, 'runs.json');
    const place = await placeOf(stateDir);
    // A cache: one that cannot be read costs waiting for the lease.
    const known = await readChecked(file, RunsSchema).catch(() => undefined);
    const isHere = known !== undefined && place !== undefined && known.place === place;
    const dead = isHere ? known.instances.slice(1 - runsMax) : [];
    const runs = new Predecessors({ file, place: place ?? '', self, dead });
    await runs.#write();
    return runs;
  }

  get dead(): readonly string[] {
    return this.#dead;
  }

  /** We hold the lease: the server has forgotten them. */
  async forget(): Promise<void> {
    if (this.#dead.length === 0) return;
    this.#dead = [];
    await this.#write();
  }

  async #write(): Promise<void> {
    const content = { place: this.#place, instances: [...this.#dead, this.#self] };
    await writeDurably(this.#file, content);
  }
}

async function placeOf(stateDir: string): Promise<string | undefined> {
  try {
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    return `${boot} ${await readlink('/proc/self/ns/net')} ${stateDir}`;
  } catch {
    return undefined;
  }
}

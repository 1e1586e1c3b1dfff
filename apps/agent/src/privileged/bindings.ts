/**
 * What the agent found before it bound functions elsewhere, so that it can be put back: on disk before the act. Without
 * the file `restore` still clears the override and lets the kernel choose.
 */
import { join } from 'node:path';
import { DriverCallError } from '@cyborg/driver-host/driver-error';
import Type, { type Static } from 'typebox';
import { messageOf } from '../hypervisors/node-error.ts';
import type { Log } from '../log.ts';
import { readChecked, writeDurably } from '../state/durable-file.ts';
import type { ActChanges } from './act-order.ts';

const Nullable = <T extends Type.TSchema>(schema: T): Type.TUnion<[T, Type.TNull]> =>
  Type.Union([schema, Type.Null()]);

const BindingSchema = Type.Object({
  address: Type.String(),
  /** Ids of the backends it was bound for. */
  backend: Type.String(),
  /** `0x1b36:0x0010`: another card in its place was never bound. */
  ids: Type.String(),
  /** Of the card, where it has a number: `config 3c-fd-…` (child/serial.ts). */
  serial: Type.Optional(Type.String()),
  /** Key of its accelerator, where a number is in it that only the kernel driver that was there can read: a drive's. */
  accelerator: Type.Optional(Type.String()),
  /** What was there: its kernel driver, and its driver_override. */
  driver: Nullable(Type.String()),
  override: Nullable(Type.String()),
  boundTo: Nullable(Type.String()),
  /** Functions of its IOMMU group for which it was bound, itself among them. */
  heldFor: Type.Array(Type.String()),
  /**
   * An agent before this one bound it, and its notes are lost: what was there is not known. Key of its accelerator; null
   * for what is bound only because it shares an IOMMU group.
   */
  adopted: Type.Optional(Nullable(Type.String())),
});
export type Binding = Static<typeof BindingSchema>;

/** A card whose `sriov_drivers_autoprobe` was 1, and is 0 while it has virtual functions of the agent's making. */
const UnprobedSchema = Type.Object({ address: Type.String(), ids: Type.String() });
export type Unprobed = Static<typeof UnprobedSchema>;

/** A function that is being reset: its `reset_method` before, of which the kernel is told one at a time meanwhile. */
const ShortenedSchema = Type.Object({
  address: Type.String(),
  ids: Type.String(),
  methods: Type.String(),
});
export type Shortened = Static<typeof ShortenedSchema>;

/** How many virtual functions a card was made to have. */
const VfCountSchema = Type.Object({
  address: Type.String(),
  ids: Type.String(),
  count: Type.Integer(),
  /** Where its kernel driver made fewer: as many as these. */
  made: Type.Optional(Type.Integer()),
});
export type VfCount = Static<typeof VfCountSchema>;

const FileSchema = Type.Object({
  functions: Type.Array(BindingSchema),
  vfs: Type.Optional(Type.Array(VfCountSchema)),
  unprobed: Type.Optional(Type.Array(UnprobedSchema)),
  shortened: Type.Optional(Type.Array(ShortenedSchema)),
});

export class Bindings {
  readonly #path: string;
  readonly #log: Log;
  readonly #byAddress = new Map<string, Binding>();
  readonly #unprobed = new Map<string, Unprobed>();
  readonly #shortened = new Map<string, Shortened>();
  readonly #vfs = new Map<string, VfCount>();
  #reading: Promise<void> | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(stateDir: string, log: Log) {
    this.#path = join(stateDir, 'bindings.json');
    this.#log = log;
  }

  async list(): Promise<Binding[]> {
    this.#reading ??= this.#read();
    await this.#reading;
    return [...this.#byAddress.values()];
  }

  async listUnprobed(): Promise<Unprobed[]> {
    await this.list();
    return [...this.#unprobed.values()];
  }

  async listShortened(): Promise<Shortened[]> {
    await this.list();
    return [...this.#shortened.values()];
  }

  /** Cards that have virtual functions by an agent's doing. */
  async listVfs(): Promise<VfCount[]> {
    await this.list();
    return [...this.#vfs.values()];
  }

  /** On disk when it returns. */
  async apply({ changed = [], settled = [], ...cards }: ActChanges): Promise<void> {
    const { unprobed, probed, shortened, lengthened, vfs } = cards;
    const isNews = [unprobed, probed, shortened, lengthened, vfs].some((one) => one !== undefined);
    if (changed.length === 0 && settled.length === 0 && !isNews) return;
    await this.list();
    for (const binding of changed) this.#byAddress.set(binding.address, binding);
    for (const address of settled) this.#byAddress.delete(address);
    if (unprobed !== undefined) this.#unprobed.set(unprobed.address, unprobed);
    if (probed !== undefined) this.#unprobed.delete(probed);
    if (shortened !== undefined) this.#shortened.set(shortened.address, shortened);
    if (lengthened !== undefined) this.#shortened.delete(lengthened);
    if (vfs !== undefined) this.#vfs.set(vfs.address, vfs);
    if (vfs?.count === 0) this.#vfs.delete(vfs.address);
    const content = {
      functions: [...this.#byAddress.values()],
      vfs: [...this.#vfs.values()],
      unprobed: [...this.#unprobed.values()],
      shortened: [...this.#shortened.values()],
    };
    this.#writing = this.#writing
      .catch(() => undefined)
      .then(async () => writeDurably(this.#path, content));
    await this.#writing;
  }

  async #read(): Promise<void> {
    try {
      const file = await readChecked(this.#path, FileSchema);
      for (const binding of file?.functions ?? []) this.#byAddress.set(binding.address, binding);
      for (const card of file?.unprobed ?? []) this.#unprobed.set(card.address, card);
      for (const one of file?.shortened ?? []) this.#shortened.set(one.address, one);
      for (const card of file?.vfs ?? []) this.#vfs.set(card.address, card);
    } catch (error) {
      if (isOfTheSystem(error)) {
        // It may be readable the next time: what it says must not be written over.
        this.#reading = undefined;
        throw new DriverCallError('transient', `What was bound cannot be read: ${error.message}`, {
          cause: error,
        });
      }
      this.#log.error(
        { reason: messageOf(error) },
        'what was bound for guests is not known any more: it is restored by what the kernel chooses',
      );
    }
  }
}

function isOfTheSystem(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && 'syscall' in error;
}

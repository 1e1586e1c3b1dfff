/**
 * What the adapter remembers between looks: on which socket each instance answered, so that a silent socket can be
 * named, and which folder it was, so that an unmounted or replaced folder is not taken for an empty one.
 * A cache: losing it loses only this caution.
 */
import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import Type, { type Static } from 'typebox';
import { Value } from 'typebox/value';
import { HypervisorError } from '../hypervisor.ts';
import { messageOf } from '../node-error.ts';
import type { QemuProcesses } from '../processes.ts';

const KnownSchema = Type.Object({
  socket: Type.String(),
  /** Its process was seen while it answered, so not seeing it means that it ended. */
  has_process: Type.Boolean(),
});
const MemorySchema = Type.Object({
  /** `/proc/sys/kernel/random/boot_id`: after a reboot of the host the folder may be another. */
  boot_id: Type.String(),
  folder: Type.Union([Type.String(), Type.Null()]),
  instances: Type.Record(Type.String(), KnownSchema),
});
type MemoryFile = Static<typeof MemorySchema>;
type Known = Static<typeof KnownSchema>;

export interface MemoryOptions {
  readonly directory: string;
  readonly procRoot: string;
  /** Where it survives a restart of the agent; null to keep it in memory only. */
  readonly file: string | null;
}

export class InstanceMemory {
  readonly #options: MemoryOptions;
  readonly #bootId: string;
  readonly #instances: Map<string, Known>;
  #folder: string | null;
  #saved: string;
  /** Ends when all that was asked to be saved so far is: two writers of one new file would lose it. */
  #saving: Promise<string | null> = Promise.resolve(null);

  private constructor(options: MemoryOptions, bootId: string, memory: MemoryFile) {
    this.#options = options;
    this.#bootId = bootId;
    this.#folder = memory.boot_id === bootId ? memory.folder : null;
    this.#instances = new Map(Object.entries(memory.instances));
    this.#saved = JSON.stringify(memory);
  }

  static async open(options: MemoryOptions): Promise<InstanceMemory> {
    const bootFile = `${options.procRoot}/sys/kernel/random/boot_id`;
    const bootId = (await readFile(bootFile, 'utf8').catch(() => '')).trim();
    return new InstanceMemory(options, bootId, await readMemory(options.file, bootId));
  }

  /** Instances by id that answered and were not found to be gone since. */
  get known(): ReadonlyMap<string, Readonly<Known>> {
    return this.#instances;
  }

  remember(uuid: string, known: Known): void {
    this.#instances.set(uuid, known);
  }

  forget(uuid: string): void {
    this.#instances.delete(uuid);
  }

  /**
   * Another folder under the same name is accepted when the guests that were in the old one are known to have ended.
   * @throws HypervisorError `unavailable` when the folder is gone, or is not the one that the guests were in.
   */
  async checkFolder(lookAtProcesses: () => Promise<QemuProcesses | null>): Promise<void> {
    const identity = await identityOf(this.#options.directory);
    if (this.#folder === identity) return;
    if (this.#folder !== null && this.#instances.size > 0) {
      const processes = await lookAtProcesses();
      const isOver = [...this.#instances].every(
        ([uuid, { socket, has_process: hasProcess }]) =>
          hasProcess && processes?.holds({ socket, uuid }) === false,
      );
      if (!isOver) throw new HypervisorError('unavailable', this.#otherFolder());
    }
    this.#folder = identity;
  }

  #otherFolder(): string {
    const { directory, file } = this.#options;
    const accept = file === null ? 'restart the agent' : `stop the agent and remove ${file}`;
    return (
      `The QMP folder ${directory} is not the folder in which ${this.#instances.size} instances were seen ` +
      `(unmounted or replaced?): put it back, or ${accept} to accept the new one.`
    );
  }

  /** @returns why it could not be saved, or null. */
  async save(): Promise<string | null> {
    this.#saving = this.#saving.then(async () => await this.#write());
    return await this.#saving;
  }

  async #write(): Promise<string | null> {
    const { file } = this.#options;
    const memory: MemoryFile = {
      boot_id: this.#bootId,
      folder: this.#folder,
      instances: Object.fromEntries(this.#instances),
    };
    const text = JSON.stringify(memory);
    if (file === null || text === this.#saved) return null;
    try {
      await writeFile(`${file}.new`, text);
      await rename(`${file}.new`, file);
      this.#saved = text;
      return null;
    } catch (error) {
      return `${file} could not be written: ${messageOf(error)}`;
    }
  }
}

async function readMemory(file: string | null, bootId: string): Promise<MemoryFile> {
  const none: MemoryFile = { boot_id: bootId, folder: null, instances: {} };
  if (file === null) return none;
  try {
    const json: unknown = JSON.parse(await readFile(file, 'utf8'));
    return Value.Check(MemorySchema, json) ? json : none;
  } catch {
    return none; // no file yet, or damaged: a cache
  }
}

async function identityOf(directory: string): Promise<string> {
  try {
    const found = await stat(directory, { bigint: true });
    if (!found.isDirectory()) throw new Error('it is not a folder.');
    return `${found.dev}:${found.ino}`;
  } catch (error) {
    const message = `The QMP folder ${directory} cannot be read: ${messageOf(error)}`;
    throw new HypervisorError('unavailable', message, { cause: error });
  }
}

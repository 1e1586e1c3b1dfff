/**
 * Which attachments were prepared before the host was started anew. Neither what a function was bound to nor a mediated
 * device outlives that, and a machine whose configuration has the device cannot be started before it is prepared again.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { messageOf } from '../hypervisors/node-error.ts';
import type { Log } from '../log.ts';
import { readChecked, writeDurably } from './durable-file.ts';

const FileSchema = Type.Object({
  /** `/proc/sys/kernel/random/boot_id` when the file was written. */
  boot_id: Type.String(),
  /** Ids of attachments that were prepared in an earlier run of the kernel, and not since. */
  unprepared: Type.Array(Type.String()),
});

export interface BootsOptions {
  readonly stateDir: string;
  readonly procRoot: string;
  readonly log: Log;
}

/** Whether the kernel was started since an agent with this state directory ran; true when that cannot be told. */
export async function isStartedAnew({
  stateDir,
  procRoot,
}: Pick<BootsOptions, 'stateDir' | 'procRoot'>): Promise<boolean> {
  const bootId = await bootIdIn(procRoot);
  const file = await readChecked(join(stateDir, 'boot.json'), FileSchema).catch(() => undefined);
  return file === undefined || bootId === '' || file.boot_id !== bootId;
}

async function bootIdIn(procRoot: string): Promise<string> {
  const file = join(procRoot, 'sys/kernel/random/boot_id');
  return (await readFile(file, 'utf8').catch(() => '')).trim();
}

export class Boots {
  readonly #path: string;
  readonly #log: Log;
  readonly #bootId: string;
  readonly #unprepared: Set<string>;
  /** What was held then is not known yet in this run. */
  #isFirst: boolean;
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    { stateDir, log }: BootsOptions,
    { bootId, unprepared, isFirst }: { bootId: string; unprepared: string[]; isFirst: boolean },
  ) {
    this.#path = join(stateDir, 'boot.json');
    this.#log = log;
    this.#bootId = bootId;
    this.#unprepared = new Set(unprepared);
    this.#isFirst = isFirst;
  }

  static async open(options: BootsOptions): Promise<Boots> {
    const { stateDir, procRoot, log } = options;
    const bootId = await bootIdIn(procRoot);
    const file = await readChecked(join(stateDir, 'boot.json'), FileSchema).catch(
      (error: unknown) => {
        log.warn({ reason: messageOf(error) }, 'whether this host was started anew is not known');
        return undefined;
      },
    );
    const isFirst = file !== undefined && bootId !== '' && file.boot_id !== bootId;
    const boots = new Boots(options, { bootId, unprepared: file?.unprepared ?? [], isFirst });
    if (file === undefined) await boots.#write();
    return boots;
  }

  isUnprepared(attachmentId: string): boolean {
    return this.#unprepared.has(attachmentId);
  }

  /** @param ids  of all attachments that this host holds by the ledger */
  held(ids: ReadonlySet<string>): void {
    const before = this.#unprepared.size;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    if (isFirst) for (const id of ids) this.#unprepared.add(id);
    for (const id of this.#unprepared) if (!ids.has(id)) this.#unprepared.delete(id);
    if (isFirst || this.#unprepared.size !== before) void this.#write();
  }

  prepared(attachmentId: string): void {
    if (this.#unprepared.delete(attachmentId)) void this.#write();
  }

  /** Unwritten, the host counts as started anew again: what is prepared is prepared once more, which changes nothing. */
  #write(): Promise<void> {
    const content = { boot_id: this.#bootId, unprepared: [...this.#unprepared] };
    this.#writing = this.#writing
      .then(async () => await writeDurably(this.#path, content))
      .catch((error: unknown) => {
        this.#log.warn({ reason: messageOf(error) }, 'what is to be prepared again is not noted');
      });
    return this.#writing;
  }
}

/**
 * The highest epoch seen of each accelerator, and which attachments it was given to. Built from the held list and from a
 * small file; what is in the file is on disk before anything is done with that epoch. The file is a cache: without it the
 * held list and the names of devices in the hypervisor say the same.
 */
import { open, readFile, rename, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from '../hypervisors/node-error.ts';

const attachmentsKeptMax = 4;
const linesMax = 20_000;
const noAttachment = '-';
const linePattern = /^([0-9a-f-]{36}) (\d{1,16}) ([0-9a-f-]{36}|-)$/;

interface Mark {
  epoch: number;
  /** The last attachments, newest last. */
  readonly attachments: string[];
}

export class Fence {
  readonly #path: string;
  readonly #marks = new Map<string, Mark>();
  readonly #acceleratorOf = new Map<string, string>();
  #file: FileHandle | undefined;
  #lines = 0;
  /** The last writing failed. */
  #isTorn = false;
  #unwritten: string[] = [];
  #writing: Promise<void> | undefined;

  private constructor(path: string) {
    this.#path = path;
  }

  static async open(stateDir: string): Promise<Fence> {
    const fence = new Fence(join(stateDir, 'fence.log'));
    await fence.#read();
    await fence.#rewrite();
    return fence;
  }

  /** 0 when it was never seen. */
  highest(acceleratorId: string): number {
    return this.#marks.get(acceleratorId)?.epoch ?? 0;
  }

  attachmentsOf(acceleratorId: string): readonly string[] {
    return this.#marks.get(acceleratorId)?.attachments ?? [];
  }

  knowsAttachment(attachmentId: string): boolean {
    return this.#acceleratorOf.has(attachmentId);
  }

  acceleratorOf(attachmentId: string): string | undefined {
    return this.#acceleratorOf.get(attachmentId);
  }

  /** Seen in the world or the held list; in memory alone. */
  note(acceleratorId: string, epoch: number, attachmentId: string | null): boolean {
    const mark = this.#marks.get(acceleratorId) ?? { epoch: 0, attachments: [] };
    this.#marks.set(acceleratorId, mark);
    const isNewEpoch = epoch > mark.epoch;
    if (isNewEpoch) mark.epoch = epoch;
    const isNewAttachment = attachmentId !== null && !mark.attachments.includes(attachmentId);
    if (isNewAttachment) {
      mark.attachments.push(attachmentId);
      this.#acceleratorOf.set(attachmentId, acceleratorId);
      if (mark.attachments.length > attachmentsKeptMax) {
        const forgotten = mark.attachments.shift();
        if (forgotten !== undefined) this.#acceleratorOf.delete(forgotten);
      }
    }
    return isNewEpoch || isNewAttachment;
  }

  /** As `note`, and on disk when it returns; many at once cost one write. */
  async raise(acceleratorId: string, epoch: number, attachmentId: string | null): Promise<void> {
    if (this.note(acceleratorId, epoch, attachmentId)) {
      this.#unwritten.push(`${acceleratorId} ${epoch} ${attachmentId ?? noAttachment}\n`);
    }
    while (this.#writing !== undefined) await this.#writing;
    if (this.#unwritten.length === 0) return;
    this.#writing = this.#flush().finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #flush(): Promise<void> {
    await Promise.resolve(); // others of this moment join
    const lines = this.#unwritten;
    this.#unwritten = [];
    this.#lines += lines.length;
    try {
      if (this.#isTorn || this.#lines > linesMax + 8 * this.#marks.size) await this.#rewrite();
      else await this.#append(lines.join(''));
    } catch (error) {
      // Whoever raises it again must not find it done; half a line may be there.
      this.#unwritten = [...lines, ...this.#unwritten];
      this.#isTorn = true;
      throw error;
    }
  }

  async #append(lines: string): Promise<void> {
    await this.#file?.appendFile(lines);
    await this.#file?.datasync();
  }

  async #read(): Promise<void> {
    const text = await readFile(this.#path, 'utf8').catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return '';
      throw error;
    });
    for (const line of text.split('\n')) {
      const match = linePattern.exec(line); // the last line may be half-written
      if (match?.[1] === undefined || match[3] === undefined) continue;
      this.note(match[1], Number(match[2]), match[3] === noAttachment ? null : match[3]);
    }
  }

  async #rewrite(): Promise<void> {
    const draft = await open(`${this.#path}.new`, 'w', 0o600);
    const lines: string[] = [];
    for (const [acceleratorId, { epoch, attachments }] of this.#marks) {
      for (const id of attachments.length > 0 ? attachments : [noAttachment]) {
        lines.push(`${acceleratorId} ${epoch} ${id}\n`);
      }
    }
    try {
      await draft.writeFile(lines.join(''));
      await draft.datasync();
    } finally {
      await draft.close();
    }
    await rename(`${this.#path}.new`, this.#path);
    await this.#file?.close();
    this.#file = await open(this.#path, 'a');
    this.#lines = lines.length;
    this.#isTorn = false;
  }
}

import { appendFileSync, chmodSync, renameSync, statSync } from 'node:fs';

/** Keeps what postgres writes: the newest lines in memory, and at most two files on disk. */
export interface PostgresLog {
  write(text: string): void;
  /** The last lines, at most 16 KiB. */
  tail(): string;
  /** Forgets the tail, before a new start. */
  clearTail(): void;
}

const fileBytesMax = 4 * 1024 * 1024;
const tailCharsMax = 16 * 1024;

/** Appends to `file`; at 4 MiB it becomes `file.1`, replacing the one before. */
export function openPostgresLog(file: string): PostgresLog {
  let tail = '';
  let size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const append = (text: string): void => {
    if (size > fileBytesMax) {
      renameSync(file, `${file}.1`);
      size = 0;
    }
    appendFileSync(file, text);
    if (size === 0) chmodSync(file, 0o600);
    size += Buffer.byteLength(text);
  };
  return {
    write(text): void {
      tail = (tail + text).slice(-tailCharsMax);
      try {
        append(text);
      } catch {
        // A full disk must not end the server that is about to report it.
      }
    },
    tail: () => tail,
    clearTail(): void {
      tail = '';
    },
  };
}

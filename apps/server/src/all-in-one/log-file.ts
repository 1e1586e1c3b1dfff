import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

const fileBytesMax = 16 * 1024 * 1024;

/** A log of bounded size: when it is full it becomes `<path>.1`, in place of the one before. */
export interface LogFile extends Disposable {
  write(text: string): void;
}

export function openLogFile(path: string): LogFile {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  let file = openSync(path, 'a', 0o600);
  let bytes = fstatSync(file).size;
  return {
    write(text) {
      if (bytes >= fileBytesMax) {
        closeSync(file);
        renameSync(path, `${path}.1`);
        file = openSync(path, 'a', 0o600);
        bytes = 0;
      }
      bytes += writeSync(file, text);
    },
    [Symbol.dispose]: () => closeSync(file),
  };
}

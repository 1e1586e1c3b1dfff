/** A file that really blocks whoever opens it: a FUSE mount whose server never answers. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

/** Why this machine cannot make one, or undefined. */
export function whyNoBlockedFile(): string | undefined {
  if (process.getuid?.() !== 0) return 'mounting needs root';
  try {
    closeSync(openSync('/dev/fuse', 'r+'));
    return undefined;
  } catch (error) {
    return `/dev/fuse cannot be opened (${String(error)})`;
  }
}

/** From then on nobody who opens the file comes back, until it is disposed of: then they get an error. */
export function blockFile(path: string): Disposable {
  const fuse = openSync('/dev/fuse', 'r+');
  const options = 'fd=3,rootmode=0100444,user_id=0,group_id=0,allow_other';
  const words = ['-i', '-t', 'fuse', '-o', options, 'blocked', path];
  const mounted = spawnSync('mount', words, { stdio: ['ignore', 'ignore', 'pipe', fuse] });
  if (mounted.status !== 0) {
    closeSync(fuse);
    throw new Error(`mount: ${mounted.stderr.toString()}`);
  }
  return {
    [Symbol.dispose]: () => {
      closeSync(fuse); // the kernel ends the requests that wait
      spawnSync('umount', ['-l', path]);
    },
  };
}

/** Program images as a driver gets them: a file, and what its bytes must be. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

import { DriverError } from './errors.ts';

/** @throws DriverError `invalid` when it cannot be read or has other bytes: nothing was touched then. */
export async function checkImage(
  { image, sha256 }: { readonly image: string; readonly sha256: string },
  signal: AbortSignal,
): Promise<void> {
  const hash = createHash('sha256');
  try {
    for await (const piece of createReadStream(image, { signal })) hash.update(piece);
  } catch (error) {
    signal.throwIfAborted();
    const why = error instanceof Error ? error.message : String(error);
    throw new DriverError('invalid', `image ${image} cannot be read: ${why}`);
  }
  const actual = hash.digest('hex');
  if (actual === sha256) return;
  throw new DriverError('invalid', `image ${image} has SHA-256 ${actual}, not ${sha256}`);
}

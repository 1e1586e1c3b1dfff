/** Text that leaves the server and comes back: AES-256-GCM under a key that only servers of one ledger have. */
import { createCipheriv, createDecipheriv } from 'node:crypto';

import type { Rng } from '@cyborg/service/rng';

const algorithm = 'aes-256-gcm';
const bytes = { nonce: 12, tag: 16 } as const;
const purpose = Buffer.from('cyborg console session 1');

export const sealKeyBytes = 32;

export function seal(text: string, key: Buffer, rng: Pick<Rng, 'bytes'>): string {
  const nonce = rng.bytes(bytes.nonce);
  const cipher = createCipheriv(algorithm, key, nonce).setAAD(purpose);
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url');
}

/** @returns undefined when it was not sealed under this key, or was changed. */
export function unseal(sealed: string, key: Buffer): string | undefined {
  const all = Buffer.from(sealed, 'base64url');
  const textAt = bytes.nonce + bytes.tag;
  if (all.length < textAt) return undefined;
  const decipher = createDecipheriv(algorithm, key, all.subarray(0, bytes.nonce), {
    authTagLength: bytes.tag,
  });
  decipher.setAAD(purpose).setAuthTag(all.subarray(bytes.nonce, textAt));
  try {
    return Buffer.concat([decipher.update(all.subarray(textAt)), decipher.final()]).toString();
  } catch {
    return undefined;
  }
}

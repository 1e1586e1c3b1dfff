/**
 * Answers that hold a secret, kept for a repetition of their request: encrypted under its idempotency key, of which the
 * ledger has the hash alone. Who reads the ledger learns nothing; who has the key has had the answer.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';

import type { Rng } from '@cyborg/service/rng';

const algorithm = 'aes-256-gcm';
const bytes = { key: 32, salt: 16, nonce: 12, tag: 16 } as const;

export interface SealedUnder {
  /** The idempotency key: hard to guess, as the API's schema asks. */
  readonly key: string;
  readonly scope: string;
}

export interface SealedAnswer {
  /** Salt, nonce, tag and text, in base64. */
  readonly sealed: string;
}

export function sealAnswer(
  answer: unknown,
  { rng, ...under }: SealedUnder & { readonly rng: Pick<Rng, 'bytes'> },
): SealedAnswer {
  const salt = rng.bytes(bytes.salt);
  const nonce = rng.bytes(bytes.nonce);
  const cipher = createCipheriv(algorithm, keyOf(under, salt), nonce);
  const text = Buffer.concat([cipher.update(JSON.stringify(answer), 'utf8'), cipher.final()]);
  const parts = [salt, nonce, cipher.getAuthTag(), text];
  return { sealed: Buffer.concat(parts).toString('base64') };
}

/** @throws when it was not sealed under this key and scope, or was changed. */
export function openAnswer(stored: unknown, under: SealedUnder): unknown {
  if (typeof stored !== 'object' || stored === null || !('sealed' in stored)) {
    throw new TypeError('The stored answer is not sealed.');
  }
  const all = Buffer.from(String(stored.sealed), 'base64');
  const nonceAt = bytes.salt;
  const tagAt = nonceAt + bytes.nonce;
  const textAt = tagAt + bytes.tag;
  const key = keyOf(under, all.subarray(0, nonceAt));
  const decipher = createDecipheriv(algorithm, key, all.subarray(nonceAt, tagAt));
  decipher.setAuthTag(all.subarray(tagAt, textAt));
  const text = Buffer.concat([decipher.update(all.subarray(textAt)), decipher.final()]);
  return JSON.parse(text.toString('utf8'));
}

function keyOf({ key, scope }: SealedUnder, salt: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, scope, bytes.key));
}

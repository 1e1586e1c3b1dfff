import type { Rng } from '@cyborg/service/rng';

const passwordBytes = 18;

/** 144 random bits, in characters that need no quoting. */
export function makePassword(rng: Pick<Rng, 'bytes'>): string {
  return rng.bytes(passwordBytes).toString('base64url');
}

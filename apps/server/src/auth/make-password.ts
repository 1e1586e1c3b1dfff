import type { Rng } from '@cyborg/service/rng';

const passwordBytes = 16;

/** 128 random bits as hexadecimal digits: no quoting, and no dash in front that a command line would take for an option. */
export function makePassword(rng: Pick<Rng, 'bytes'>): string {
  return rng.bytes(passwordBytes).toString('hex');
}

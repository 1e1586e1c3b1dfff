/** Password hashes: our own scrypt, and bcrypt as htpasswd and stand-alone OpenStack services write it. */
import { scrypt, timingSafeEqual } from 'node:crypto';

import type { Rng } from '@cyborg/service/rng';
import bcrypt from 'bcryptjs';

interface ScryptCost {
  /** log2 of N. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

/** 32 MiB and about 0.1 s. */
const cost: ScryptCost = { ln: 15, r: 8, p: 1 };
/** A file with a larger cost would let a login exhaust the server. */
const costMax: ScryptCost = { ln: 17, r: 16, p: 4 };
const saltBytes = 16;
const keyBytes = 32;

const scryptPattern =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{8,128})\$([A-Za-z0-9+/]{22,128})$/;
const bcryptPattern = /^\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}$/;

/** True for a hash that `verifyPassword` can check at a bearable cost. */
export function isPasswordHash(text: string): boolean {
  return parseScrypt(text) !== undefined || bcryptPattern.test(text);
}

/** `$scrypt$ln=15,r=8,p=1$salt$key`: the PHC string format. */
export async function hashPassword(password: string, rng: Pick<Rng, 'bytes'>): Promise<string> {
  const salt = rng.bytes(saltBytes);
  const key = await derive(password, { salt, length: keyBytes, cost });
  return `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${unpadded(salt)}$${unpadded(key)}`;
}

export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const parsed = parseScrypt(hash);
  if (parsed === undefined) return bcryptPattern.test(hash) && bcrypt.compare(password, hash);
  const key = await derive(password, {
    salt: parsed.salt,
    length: parsed.key.length,
    cost: parsed.cost,
  });
  return timingSafeEqual(key, parsed.key);
}

function parseScrypt(hash: string): { cost: ScryptCost; salt: Buffer; key: Buffer } | undefined {
  const [, ln, r, p, salt = '', key = ''] = scryptPattern.exec(hash) ?? [];
  const given: ScryptCost = { ln: Number(ln), r: Number(r), p: Number(p) };
  const isBearable =
    given.ln >= 1 &&
    given.r >= 1 &&
    given.p >= 1 &&
    given.ln <= costMax.ln &&
    given.r <= costMax.r &&
    given.p <= costMax.p;
  if (!isBearable) return undefined;
  return { cost: given, salt: Buffer.from(salt, 'base64'), key: Buffer.from(key, 'base64') };
}

function derive(
  password: string,
  { salt, length, cost: { ln, r, p } }: { salt: Buffer; length: number; cost: ScryptCost },
): Promise<Buffer> {
  const N = 2 ** ln;
  const options = { N, r, p, maxmem: 256 * N * r };
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, options, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

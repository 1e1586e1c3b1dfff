/** The digest of a package is SHA-512 of its tarball, written as npm writes it: `sha512-` and base64. */
import { createHash } from 'node:crypto';

export const digestPattern = '^sha512-[A-Za-z0-9+/]{86}==$';

export interface Hashed {
  readonly digest: string;
  readonly bytes: number;
}

/** Passes a tarball through and knows its digest at the end. */
export class Hasher {
  readonly #hash = createHash('sha512');
  #bytes = 0;

  add(piece: Uint8Array): void {
    this.#hash.update(piece);
    this.#bytes += piece.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  end(): Hashed {
    return { digest: `sha512-${this.#hash.digest('base64')}`, bytes: this.#bytes };
  }
}

export async function digestOf(tarball: AsyncIterable<Uint8Array>): Promise<Hashed> {
  const hasher = new Hasher();
  for await (const piece of tarball) hasher.add(piece);
  return hasher.end();
}

/** For URLs and names of files. */
export function digestToHex(digest: string): string {
  return Buffer.from(digest.slice('sha512-'.length), 'base64').toString('hex');
}

export function digestFromHex(hex: string): string {
  return `sha512-${Buffer.from(hex, 'hex').toString('base64')}`;
}

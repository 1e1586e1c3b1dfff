/**
 * Who made a package: an ed25519 signature of one line of text that names its digest. The line can be signed with openssl,
 * too, and a signature of it is of no use for anything else.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';

import { PackageError } from './package-error.ts';

export const signaturePolicies = ['require', 'warn'] as const;
export type SignaturePolicy = (typeof signaturePolicies)[number];

export interface TrustedKey {
  readonly key: KeyObject;
  /** `SHA256:` and base64 of the raw public key: what people call it by. */
  readonly fingerprint: string;
}

/** Whose packages are taken, and what happens to all others. */
export interface DriverTrust {
  /** `require`: none but those signed with one of the keys. `warn`: others too, and everybody sees it. */
  readonly policy: SignaturePolicy;
  readonly keys: readonly TrustedKey[];
}

export const noTrust: DriverTrust = { policy: 'require', keys: [] };

/** 64 bytes in base64. */
export const signaturePattern = '^[A-Za-z0-9+/]{86}==$';

export function signedText(digest: string): Buffer {
  return Buffer.from(`cyborg driver package ${digest}\n`);
}

/** Every `PUBLIC KEY` of the text (PEM). @throws PackageError when there is none, or another one than ed25519. */
export function parsePublicKeys(pem: string): TrustedKey[] {
  const blocks = pem.match(/-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g) ?? [];
  if (blocks.length === 0) throw new PackageError('It has no PEM block "PUBLIC KEY".');
  return blocks.map((block) => toTrusted(parsed(() => createPublicKey(block))));
}

/** @throws PackageError when the text is no ed25519 private key (PEM, not encrypted). */
export function signDigest(digest: string, privateKeyPem: string): string {
  const key = parsed(() => createPrivateKey(privateKeyPem));
  refuseOthers(key);
  return sign(null, signedText(digest), key).toString('base64');
}

/** Of the public half, as `driver-show` and refusals call the key. @throws PackageError as `signDigest` does. */
export function fingerprintOf(privateKeyPem: string): string {
  return toTrusted(parsed(() => createPublicKey(privateKeyPem))).fingerprint;
}

/** @returns the key that made it, or undefined when none of these did. */
export function findSigner(
  { digest, signature }: { readonly digest: string; readonly signature: string | null },
  keys: readonly TrustedKey[],
): TrustedKey | undefined {
  if (signature === null || !new RegExp(signaturePattern).test(signature)) return undefined;
  const bytes = Buffer.from(signature, 'base64');
  return keys.find(({ key }) => verify(null, signedText(digest), key, bytes));
}

export interface SignedPackage {
  readonly digest: string;
  readonly signature: string | null;
}

/** Undefined when the package may be used; else why not, with the way out. */
export function refusalOf(signed: SignedPackage, trust: DriverTrust): string | undefined {
  if (trust.policy === 'warn' || findSigner(signed, trust.keys) !== undefined) return undefined;
  if (signed.signature === null) return 'It is not signed. Sign it with `cyborg driver-sign`.';
  const known = trust.keys.map(({ fingerprint }) => fingerprint).join(', ');
  return `Its signature is by none of the keys that are trusted here (${known || 'there is none'}). Sign it with one of them, or have its publisher’s key named with --driver-key where the server and the agents are started.`;
}

function toTrusted(key: KeyObject): TrustedKey {
  refuseOthers(key);
  const { x = '' } = key.export({ format: 'jwk' });
  const hash = createHash('sha256').update(Buffer.from(x, 'base64url')).digest('base64');
  return { key, fingerprint: `SHA256:${hash.replace(/=+$/, '')}` };
}

function refuseOthers(key: KeyObject): void {
  if (key.asymmetricKeyType === 'ed25519') return;
  throw new PackageError(`It is a key for ${key.asymmetricKeyType}; only ed25519 is taken.`);
}

function parsed(read: () => KeyObject): KeyObject {
  try {
    return read();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new PackageError(`It is no key that could be read: ${why}`);
  }
}

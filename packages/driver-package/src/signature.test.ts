import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'vitest';

import { digestFromHex, digestOf, digestToHex } from './digest.ts';
import { findSigner, parsePublicKeys, refusalOf, signDigest } from './signature.ts';
import { inPieces, makeTestKey } from './test-package.ts';

const ours = makeTestKey();
const other = makeTestKey();

async function makeDigest(text: string): Promise<string> {
  return (await digestOf(inPieces(Buffer.from(text)))).digest;
}

describe('a signature', () => {
  it('is found by the key that made it, among others', async ({ expect }) => {
    const digest = await makeDigest('a');
    const keys = parsePublicKeys(`${other.publicPem}\n# ours\n${ours.publicPem}`);
    const signature = signDigest(digest, ours.privatePem);
    expect(findSigner({ digest, signature }, keys)).toBe(keys[1]);
    expect(keys[1]?.fingerprint).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
  });

  it('is of one package alone', async ({ expect }) => {
    const keys = parsePublicKeys(ours.publicPem);
    const signature = signDigest(await makeDigest('a'), ours.privatePem);
    const digest = await makeDigest('b');
    expect(findSigner({ digest, signature }, keys)).toBeUndefined();
    expect(refusalOf({ digest, signature }, { policy: 'require', keys })).toMatch(
      'by none of the keys',
    );
  });

  it('is needed unless the policy is to warn', async ({ expect }) => {
    const digest = await makeDigest('a');
    const unsigned = { digest, signature: null };
    expect(refusalOf(unsigned, { policy: 'require', keys: [] })).toMatch('It is not signed');
    expect(refusalOf(unsigned, { policy: 'warn', keys: [] })).toBeUndefined();
  });

  it('is made and checked with ed25519 keys alone', ({ expect }) => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = publicKey.export({ format: 'pem', type: 'spki' }).toString();
    expect(() => parsePublicKeys(pem)).toThrow('only ed25519');
    const secret = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    expect(() => signDigest('sha512-', secret)).toThrow('only ed25519');
    expect(() => parsePublicKeys('hello')).toThrow('no PEM block');
  });
});

describe('a digest', () => {
  it('is the same in hexadecimal', async ({ expect }) => {
    const digest = await makeDigest('a');
    expect(digestFromHex(digestToHex(digest))).toBe(digest);
    expect(digestToHex(digest)).toMatch(/^[0-9a-f]{128}$/);
  });
});

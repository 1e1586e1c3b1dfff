/** For tests: tarballs of every shape, made entry by entry. */
import { generateKeyPairSync } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { pack, type Headers } from 'tar-stream';

export interface TestEntry extends Partial<Headers> {
  readonly name: string;
  readonly content?: string | Buffer;
}

export const testManifest = {
  id: 'acme',
  version: '1.0.0',
  title: 'Cards of Acme',
  protocol: { min: 1, max: 1 },
  entry: 'src/main.js',
  runtime: 'node',
  kinds: [{ kind: 'card', title: 'A card', config_schema: { type: 'object' }, delegable: [] }],
  default_backends: [{ name: 'card', kind: 'card', config: {} }],
};

/** A right package, with what is given put in or in place of what is there. */
export function testEntries(
  manifest: object = {},
  more: readonly TestEntry[] = [],
): readonly TestEntry[] {
  const whole = { ...testManifest, ...manifest };
  const npm = { name: '@acme/cyborg-driver', version: whole.version };
  return [
    { name: 'package/package.json', content: JSON.stringify(npm) },
    { name: 'package/manifest.json', content: JSON.stringify(whole) },
    { name: 'package/src/main.js', content: 'process.exit(0);\n' },
    ...more,
  ];
}

export async function tarOf(entries: readonly TestEntry[]): Promise<Buffer> {
  const archive = pack();
  for (const { content = '', ...header } of entries) {
    const isFile = header.type === undefined || header.type === 'file';
    if (isFile) archive.entry(header, content);
    else archive.entry({ ...header, size: 0 });
  }
  archive.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of archive) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

export async function tarballOf(entries: readonly TestEntry[]): Promise<Buffer> {
  return gzipSync(await tarOf(entries));
}

/** In pieces, as it comes over a network. */
export async function* inPieces(bytes: Buffer, size = 1000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export interface TestKey {
  readonly privatePem: string;
  readonly publicPem: string;
}

export function makeTestKey(): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    privatePem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    publicPem: publicKey.export({ format: 'pem', type: 'spki' }).toString(),
  };
}

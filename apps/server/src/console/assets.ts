/** The files of the built console: read when they are first asked for, packed once. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

export interface Asset {
  readonly type: string;
  readonly content: Buffer;
  /** gzip; undefined where it would not pay. */
  readonly packed: Buffer | undefined;
  readonly etag: string;
}

export interface Assets {
  /** @returns undefined for what is not there. */
  read(path: string): Promise<Asset | undefined>;
}

const types: Readonly<Record<string, { readonly type: string; readonly packs: boolean }>> = {
  '.html': { type: 'text/html; charset=utf-8', packs: true },
  '.js': { type: 'text/javascript; charset=utf-8', packs: true },
  '.css': { type: 'text/css; charset=utf-8', packs: true },
  '.svg': { type: 'image/svg+xml', packs: true },
  '.woff2': { type: 'font/woff2', packs: false },
};

const safePath = /^(assets\/)?[A-Za-z0-9_][A-Za-z0-9._-]*$/;
const pack = promisify(gzip);

interface Known {
  readonly version: string;
  readonly asset: Promise<Asset>;
}

export function makeAssets(folder: string): Assets {
  const known = new Map<string, Known>();
  return {
    async read(path) {
      const { type, packs } = types[extname(path)] ?? {};
      if (type === undefined || packs === undefined || !safePath.test(path)) return undefined;
      const file = join(folder, path);
      const found = await stat(file).catch(() => undefined);
      if (found?.isFile() !== true) return undefined;
      const version = `${found.ino} ${found.size} ${found.mtimeMs}`;
      const before = known.get(path);
      if (before?.version === version) return before.asset;
      const asset = load(file, { type, packs });
      known.set(path, { version, asset });
      asset.catch(() => known.delete(path));
      return asset;
    },
  };
}

async function load(
  file: string,
  { type, packs }: { type: string; packs: boolean },
): Promise<Asset> {
  const content = await readFile(file);
  const etag = `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;
  return { type, content, packed: packs ? await pack(content, { level: 9 }) : undefined, etag };
}

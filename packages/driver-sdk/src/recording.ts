/** Lays a recorded tree out as a folder, for drivers that read it as if it were the machine's own. */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Roots } from './protocol.ts';

/** The kernel's trees below a folder: a recorded or built machine. */
export function rootsBelow(folder: string): Roots {
  return { sysfs: join(folder, 'sys'), proc: join(folder, 'proc'), dev: join(folder, 'dev') };
}

export const recordingLimits = { bytesMax: 64 * 1024 * 1024, entriesMax: 200_000 } as const;

type Entry =
  | { readonly kind: 'folder' }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'file'; readonly content: Buffer };

/**
 * Writes the recording in `file` (JSON, gzipped when it ends in .gz) below `folder`; what is there is overwritten.
 * @throws Error naming the entry, when the recording is not one or leads out of the folder.
 */
export function layOutRecording(file: string, folder: string): Roots {
  const entries = readRecording(file);
  for (const [path, entry] of entries) {
    const target = join(folder, path);
    if (entry.kind === 'folder') {
      mkdirSync(target, { recursive: true });
      continue;
    }
    mkdirSync(dirname(target), { recursive: true });
    rmSync(target, { force: true });
    if (entry.kind === 'link') symlinkSync(entry.target, target);
    else writeFileSync(target, entry.content);
  }
  return rootsBelow(folder);
}

/**
 * Copies a folder with `sys` in it, and `proc` and `dev` where it has them, so that everybody can read the copy. Links are
 * kept as they are; what is no file, folder or link, or cannot be read, is left out.
 * @throws Error when it has no `sys`
 */
export function layOutCopy(source: string, folder: string): Roots {
  if (!existsSync(join(source, 'sys'))) {
    throw new Error(`${source} is no copy of a machine: it has no folder sys`);
  }
  let entries = 0;
  for (const name of ['sys', 'proc', 'dev']) {
    if (existsSync(join(source, name))) copy(join(source, name), join(folder, name));
  }
  return rootsBelow(folder);

  function copy(from: string, to: string): void {
    mkdirSync(to, { recursive: true });
    for (const entry of readdirSync(from, { withFileTypes: true })) {
      entries += 1;
      if (entries > recordingLimits.entriesMax) {
        throw new Error(`${source} has more than ${recordingLimits.entriesMax} entries`);
      }
      const [path, target] = [join(from, entry.name), join(to, entry.name)];
      if (entry.isDirectory()) copy(path, target);
      else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(path), target);
      else if (entry.isFile()) copyReadable(path, target);
    }
  }
}

function copyReadable(path: string, target: string): void {
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch {
    return; // as on the machine: it cannot be read
  }
  writeFileSync(target, content, { mode: 0o644 });
}

function readRecording(file: string): Map<string, Entry> {
  const bytes = readFileSync(file);
  const isPacked = file.endsWith('.gz');
  const text = isPacked ? gunzipSync(bytes, { maxOutputLength: recordingLimits.bytesMax }) : bytes;
  const document: unknown = JSON.parse(text.toString('utf8'));
  const raw = isRecord(document) ? document['entries'] : undefined;
  if (!isRecord(raw)) throw new Error(`${file} is not a recording: it has no "entries"`);
  const list = Object.entries(raw);
  if (list.length > recordingLimits.entriesMax) {
    throw new Error(`${file} has ${list.length} entries; at most ${recordingLimits.entriesMax}`);
  }
  return new Map(list.map(([path, value]) => [path, parseEntry(path, value)]));
}

function parseEntry(path: string, value: unknown): Entry {
  const isInside = /^\/(?:sys|proc|dev)(?:\/|$)/u.test(path) && normalize(path) === path;
  if (!isInside) throw new Error(`recording: ${path} is not below /sys, /proc or /dev`);
  if (!isRecord(value)) throw new Error(`recording: ${path} is not an object`);
  if (value['d'] !== undefined) return { kind: 'folder' };
  const { l: link, f: text, b: base64 } = value;
  if (typeof link === 'string') {
    const isLeaving = link.startsWith('/') || !join(dirname(path), link).startsWith('/');
    const depth = dirname(path).split('/').length - 1;
    const ups = link.split('/').filter((part) => part === '..').length;
    if (isLeaving || ups > depth)
      throw new Error(`recording: the link ${path} leads out of the tree`);
    return { kind: 'link', target: link };
  }
  if (typeof base64 === 'string') return { kind: 'file', content: Buffer.from(base64, 'base64') };
  // null: a file that could not be read when it was recorded
  if (typeof text === 'string' || text === null) {
    return { kind: 'file', content: Buffer.from(text ?? '') };
  }
  throw new Error(`recording: ${path} is neither folder, link nor file`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

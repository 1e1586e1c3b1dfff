/** Changes the users file as a whole: a reader sees the old one or the new one. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

import { stringify } from 'yaml';

import { parseUserEntries } from './users-file.ts';
import type { UserEntry } from './users-file.ts';

/** Adds the users, or replaces those of the same name. */
export async function putUsers(path: string, users: readonly UserEntry[]): Promise<void> {
  const known = existsSync(path) ? parseUserEntries(await readFile(path, 'utf8'), path) : [];
  const names = new Set(users.map(({ name }) => name));
  const all = [...known.filter(({ name }) => !names.has(name)), ...users];
  await writePrivateFile(path, stringify({ users: all }, { version: '1.1' }));
}

/** Mode 0600 from its first byte on, and there as a whole or not at all. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const part = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.part`;
  try {
    await using file = await open(part, 'wx', 0o600);
    await file.writeFile(text);
    await file.sync();
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

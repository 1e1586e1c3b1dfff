/** The CLI's own connection file: `url`, `user`, `password`, `auth` (basic or none), `ca_file`. */
import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import type { Auth } from '@cyborg/api-client/http';

import { CliError } from '../errors.ts';
import { requireHttpUrl, type Lookup, type Source } from './source.ts';

/** Where `npm start` writes it for its user. */
export function defaultFilePath({ env, home }: Lookup['io']): string {
  const base = env['XDG_CONFIG_HOME'] ?? resolve(home, '.config');
  return resolve(base, 'cyborg', 'client.yaml');
}

const keys = ['url', 'user', 'password', 'auth', 'ca_file'] as const;
type Key = (typeof keys)[number];
type Members = Partial<Record<Key, string>>;

/** @returns undefined when it is not there and nobody named it. */
export async function readClientFile(
  path: string,
  { isNamed, io, warn }: { isNamed: boolean; io: Lookup['io']; warn: (line: string) => void },
): Promise<Source | undefined> {
  const file = resolve(io.workingDirectory, path);
  const found = await readText(file, isNamed);
  if (found === undefined) return undefined;
  const members = await parseMembers(file, found.text);
  if (members.password !== undefined && (found.mode & 0o077) !== 0) {
    warn(`warning: others may read the password in ${file}: run 'chmod 600 ${file}'`);
  }
  return toSource(file, members);
}

async function readText(
  file: string,
  isNamed: boolean,
): Promise<{ text: string; mode: number } | undefined> {
  try {
    await using handle = await open(file);
    const { mode } = await handle.stat();
    return { text: await handle.readFile('utf8'), mode };
  } catch (error) {
    if (!isNamed && isMissing(error)) return undefined;
    const reason = error instanceof Error ? error.message : String(error);
    const name = isNamed ? 'CYBORG_CONFIG names a file that' : 'The connection file';
    throw new CliError(`${name} cannot be read: ${reason}.`);
  }
}

export function isMissing(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false;
  return error.code === 'ENOENT' || error.code === 'ENOTDIR';
}

async function parseMembers(file: string, text: string): Promise<Members> {
  const parsed = await parseYaml(file, text);
  const members: Members = {};
  for (const [key, value] of Object.entries(parsed)) {
    const known = keys.find((name) => name === key);
    if (known === undefined) {
      throw new CliError(`${file} has the key '${key}'; known are ${keys.join(', ')}.`);
    }
    if (value === null) continue;
    if (typeof value !== 'string' && typeof value !== 'number') {
      throw new CliError(`${file}: '${key}' must be a text.`);
    }
    members[known] = String(value);
  }
  return members;
}

/** @throws CliError when it is not one mapping. */
export async function parseYaml(file: string, text: string): Promise<Record<string, unknown>> {
  const { parse } = await import('yaml');
  let parsed: unknown;
  try {
    parsed = parse(text);
  } catch (error) {
    const [reason = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new CliError(`${file} is no YAML: ${reason}`);
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return { ...parsed };
  throw new CliError(`${file} must hold keys and values, such as 'url: http://127.0.0.1:6680'.`);
}

function toSource(file: string, members: Members): Source {
  const { url } = members;
  if (url === undefined) throw new CliError(`${file} has no 'url'.`);
  requireHttpUrl(url);
  const caFile = members.ca_file;
  return {
    kind: 'stored',
    url,
    auth: toAuth(file, members),
    caFile: caFile === undefined ? undefined : resolve(dirname(file), caFile),
  };
}

function toAuth(file: string, { auth, user, password }: Members): Auth {
  const kind = auth ?? (user === undefined ? 'none' : 'basic');
  if (kind === 'none') return { kind };
  if (kind !== 'basic') {
    throw new CliError(`${file}: 'auth' is '${kind}'; it may be basic or none.`);
  }
  if (user !== undefined && password !== undefined) return { kind, user, password };
  throw new CliError(`${file}: 'auth: basic' needs 'user' and 'password'.`);
}

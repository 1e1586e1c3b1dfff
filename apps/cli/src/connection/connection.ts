/** Where the server is and who the user is there: flags, environment, connection file, OpenStack's ways. */
import { readFile } from 'node:fs/promises';

import type { Auth } from '@cyborg/api-client/http';

import { CliError, UsageError } from '../errors.ts';
import type { CommonFlags } from '../parse.ts';
import { defaultFilePath, readClientFile } from './client-file.ts';
import { readOpenStack } from './openstack.ts';
import { defaultUrl, requireHttpUrl, type Lookup, type Source } from './source.ts';

export interface Connection {
  readonly url: string;
  readonly auth: Auth;
  readonly ca: string | undefined;
}

export type ConnectionFlags = Pick<CommonFlags, 'url' | 'user' | 'password' | 'osCloud'>;

/**
 * Flags go before CYBORG_URL, CYBORG_USER and CYBORG_PASSWORD, those before CYBORG_CONFIG, that before OS_* and
 * clouds.yaml, those before the user's own client.yaml.
 *
 * @throws CliError naming the source that is wrong and what would be right.
 */
export async function findConnection(
  flags: ConnectionFlags,
  { io: given, warn }: Lookup,
): Promise<Connection> {
  const io = { ...given, env: withoutEmpty(given.env) };
  const source = await findSource(flags, { io, warn });
  const asked = givenAuth(flags, io);
  const url = flags.url ?? io.env['CYBORG_URL'] ?? (await urlOf(source)) ?? defaultUrl;
  requireHttpUrl(url);
  const usable = source !== undefined && isFor(source, url) ? source : undefined;
  const auth = asked ?? usable?.auth ?? ({ kind: 'none' } as const);
  return { url, auth, ca: await readCa(usable?.caFile) };
}

async function urlOf(source: Source | undefined): Promise<string | undefined> {
  return source?.kind === 'cloud' ? source.locate() : source?.url;
}

/** A password is only sent to the server that its file names; a token to the one that its user names. */
function isFor(source: Source, url: string): boolean {
  return source.kind === 'cloud' || isSameServer(source.url, url);
}

/** A variable that is set to nothing counts as not set. */
function withoutEmpty(env: Lookup['io']['env']): Lookup['io']['env'] {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
}

async function findSource(
  flags: ConnectionFlags,
  { io, warn }: Lookup,
): Promise<Source | undefined> {
  const named = io.env['CYBORG_CONFIG'];
  if (named !== undefined) return readClientFile(named, { isNamed: true, io, warn });
  const openStack = isToldAll(flags, io)
    ? ({ kind: 'absent' } as const)
    : await readOpenStack(flags.osCloud, io);
  if (openStack.kind === 'found') return openStack.source;
  const own = await readClientFile(defaultFilePath(io), { isNamed: false, io, warn });
  const isGiven = (flags.url ?? io.env['CYBORG_URL']) !== undefined;
  if (own !== undefined || isGiven || openStack.kind === 'absent') return own;
  throw new CliError(openStack.message);
}

/** Then whatever OS_* of another cloud lies around in the environment need not even be right. */
function isToldAll({ url, user, osCloud }: ConnectionFlags, { env }: Lookup['io']): boolean {
  const hasUrl = (url ?? env['CYBORG_URL']) !== undefined;
  return osCloud === undefined && hasUrl && (user ?? env['CYBORG_USER']) !== undefined;
}

function givenAuth({ user, password }: ConnectionFlags, io: Lookup['io']): Auth | undefined {
  const name = user ?? io.env['CYBORG_USER'];
  const secret = password ?? io.env['CYBORG_PASSWORD'];
  if (name === undefined && secret === undefined) return undefined;
  if (name === undefined) throw new UsageError('A password is given and no user: add --user NAME.');
  if (secret === undefined) {
    throw new UsageError(`No password is given for user '${name}': set CYBORG_PASSWORD.`);
  }
  return { kind: 'basic', user: name, password: secret };
}

function isSameServer(a: string, b: string): boolean {
  return URL.canParse(a) && new URL(a).origin === new URL(b).origin;
}

async function readCa(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(`The file of the certificate authority cannot be read: ${reason}.`);
  }
}

/** OS_* variables and clouds.yaml, as openstacksdk and keystoneauth read them, for the types that need no Keystone. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import type { Auth } from '@cyborg/api-client/http';

import { CliError } from '../errors.ts';
import { isMissing, parseYaml } from './client-file.ts';
import type { Lookup, Source } from './source.ts';

/** `unusable`: it is there, and is of a kind that this release cannot use; another source may still serve. */
export type OpenStackLookup =
  | { readonly kind: 'found'; readonly source: Source }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unusable'; readonly message: string };

interface Settings {
  /** What is quoted in messages: `OS_*`, or the file and cloud. */
  readonly origin: string;
  readonly authType: string | undefined;
  readonly endpoint: string | undefined;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly caFile: string | undefined;
}

/** @throws CliError when a cloud is named that is not there, or a usable kind lacks something. */
export async function readOpenStack(
  cloudFlag: string | undefined,
  io: Lookup['io'],
): Promise<OpenStackLookup> {
  const cloud = cloudFlag ?? io.env['OS_CLOUD'];
  if (cloud !== undefined) {
    const lookup = toLookup(await readCloud(cloud, io));
    // Who names a cloud by flag means it.
    if (lookup.kind === 'unusable' && cloudFlag !== undefined) throw new CliError(lookup.message);
    return lookup;
  }
  const settings = fromEnvironment(io.env);
  const isAbsent = settings.authType === undefined && io.env['OS_AUTH_URL'] === undefined;
  return isAbsent ? { kind: 'absent' } : toLookup(settings);
}

function fromEnvironment(env: Lookup['io']['env']): Settings {
  return {
    origin: 'OS_AUTH_TYPE',
    authType: env['OS_AUTH_TYPE'],
    endpoint: env['OS_ACCELERATOR_ENDPOINT_OVERRIDE'] ?? env['OS_ENDPOINT'],
    user: env['OS_USERNAME'],
    password: env['OS_PASSWORD'],
    caFile: env['OS_CACERT'],
  };
}

function toLookup(settings: Settings): OpenStackLookup {
  const { origin, authType = 'password', endpoint, caFile } = settings;
  if (authType !== 'http_basic' && authType !== 'none') {
    return {
      kind: 'unusable',
      message:
        `${origin} asks for '${authType}', and signing in with Keystone is not part of this release. ` +
        'Use auth type http_basic or none, or --url with --user, or CYBORG_CONFIG.',
    };
  }
  if (endpoint === undefined) {
    throw new CliError(
      `${origin} is '${authType}', which needs the server's address: set OS_ENDPOINT (or 'endpoint' under 'auth').`,
    );
  }
  const auth: Auth = authType === 'none' ? { kind: 'none' } : toBasic(settings);
  return { kind: 'found', source: { url: withoutApiVersion(endpoint), auth, caFile } };
}

function toBasic({ origin, user, password }: Settings): Auth {
  if (user !== undefined && password !== undefined) return { kind: 'basic', user, password };
  throw new CliError(`${origin} is 'http_basic', which needs OS_USERNAME and OS_PASSWORD.`);
}

/** An accelerator endpoint in a catalogue names v2, as upstream's does; v3 lies beside it. */
function withoutApiVersion(endpoint: string): string {
  return endpoint.replace(/(\/accelerator)?\/v[23](\.\d+)?\/*$/, '');
}

async function readCloud(cloud: string, io: Lookup['io']): Promise<Settings> {
  const found = await readFirst(cloudFiles(io));
  if (found === undefined) {
    throw new CliError(
      `The cloud '${cloud}' is asked for, and there is no clouds.yaml; looked for ${cloudFiles(io).join(', ')}.`,
    );
  }
  const clouds = member(await parseYaml(found.file, found.text), 'clouds');
  const entry = clouds[cloud];
  if (typeof entry !== 'object' || entry === null) {
    throw new CliError(
      `${found.file} has no cloud '${cloud}'; it has ${Object.keys(clouds).join(', ') || 'none'}.`,
    );
  }
  const settings: Record<string, unknown> = { ...entry };
  const auth = member(settings, 'auth');
  return {
    origin: `The cloud '${cloud}' of ${found.file}`,
    authType: text(settings['auth_type']),
    endpoint: text(settings['accelerator_endpoint_override']) ?? text(auth['endpoint']),
    user: text(auth['username']),
    password: text(auth['password']),
    caFile: text(settings['cacert']),
  };
}

function cloudFiles({ env, home, workingDirectory }: Lookup['io']): string[] {
  const named = env['OS_CLIENT_CONFIG_FILE'];
  if (named !== undefined) return [resolve(workingDirectory, named)];
  const base = env['XDG_CONFIG_HOME'] ?? resolve(home, '.config');
  return [workingDirectory, resolve(base, 'openstack'), '/etc/openstack'].map((folder) =>
    resolve(folder, 'clouds.yaml'),
  );
}

async function readFirst(
  files: readonly string[],
): Promise<{ file: string; text: string } | undefined> {
  for (const file of files) {
    try {
      return { file, text: await readFile(file, 'utf8') };
    } catch (error) {
      if (!isMissing(error)) throw new CliError(`${file} cannot be read: ${String(error)}`);
    }
  }
  return undefined;
}

function member(of: Record<string, unknown>, key: string): Record<string, unknown> {
  const value = of[key];
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}

/** OS_* variables and clouds.yaml, as openstacksdk and keystoneauth read them. */
import type { Auth } from '@cyborg/api-client/http';

import { CliError } from '../errors.ts';
import { settingsOfEnvironment } from './cloud-settings.ts';
import type { CloudSettings, SettingName } from './cloud-settings.ts';
import { readCloud } from './clouds-file.ts';
import type { Lookup, Source } from './source.ts';

/** `unusable`: it is there, and is of a kind that this release cannot use; another source may still serve. */
export type OpenStackLookup =
  | { readonly kind: 'found'; readonly source: Source }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unusable'; readonly message: string };

const keystoneTypes = new Set([
  'password',
  'v3password',
  'application_credential',
  'v3applicationcredential',
]);

/** @throws CliError when a cloud is named that is not there, or a usable kind lacks something. */
export async function readOpenStack(
  cloudFlag: string | undefined,
  io: Lookup['io'],
): Promise<OpenStackLookup> {
  const cloud = cloudFlag ?? io.env['OS_CLOUD'];
  if (cloud !== undefined) {
    const lookup = await toLookup(await readCloud(cloud, io), io);
    // Who names a cloud by flag means it.
    if (lookup.kind === 'unusable' && cloudFlag !== undefined) throw new CliError(lookup.message);
    return lookup;
  }
  const settings = settingsOfEnvironment(io.env);
  const { authType, authUrl } = settings.values;
  return authType === undefined && authUrl === undefined
    ? { kind: 'absent' }
    : toLookup(settings, io);
}

async function toLookup(settings: CloudSettings, io: Lookup['io']): Promise<OpenStackLookup> {
  const { authType = 'password', caFile } = settings.values;
  if (keystoneTypes.has(authType)) {
    const { keystoneSource } = await import('./keystone.ts');
    return { kind: 'found', source: await keystoneSource(settings, io) };
  }
  if (authType !== 'http_basic' && authType !== 'none') {
    return {
      kind: 'unusable',
      message:
        `${settings.nameOf('authType')} of ${settings.origin} asks for '${authType}', which this release does not know. ` +
        'Use password, v3applicationcredential, http_basic or none; or --url with --user; or CYBORG_CONFIG.',
    };
  }
  const url = withoutApiVersion(required(settings, 'endpoint', authType));
  const auth: Auth = authType === 'none' ? { kind: 'none' } : toBasic(settings);
  return { kind: 'found', source: { kind: 'stored', url, auth, caFile } };
}

function toBasic(settings: CloudSettings): Auth {
  return {
    kind: 'basic',
    user: required(settings, 'username', 'http_basic'),
    password: required(settings, 'password', 'http_basic'),
  };
}

/** @throws CliError naming what is missing, as it is written where the others are. */
export function required(settings: CloudSettings, name: SettingName, forWhat: string): string {
  const value = settings.values[name];
  if (value !== undefined) return value;
  throw new CliError(
    `${settings.origin} asks for '${forWhat}', which needs more: set ${settings.nameOf(name)}.`,
  );
}

/** An accelerator endpoint in a catalogue names v2, as upstream's does; v3 lies beside it. */
export function withoutApiVersion(endpoint: string): string {
  return endpoint.replace(/(\/accelerator)?\/v[23](\.\d+)?\/*$/, '');
}

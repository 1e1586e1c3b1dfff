/** Signing in with Keystone, as a user or with an application credential; the token lives as long as this process. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { OpenStackError } from '@cyborg/openstack/errors';
import { interfaces } from '@cyborg/openstack/keystone/catalogue';
import type { Interface } from '@cyborg/openstack/keystone/catalogue';
import type { Credentials, DomainName, Named, Scope } from '@cyborg/openstack/keystone/credentials';
import { openSession } from '@cyborg/openstack/session';
import type { Session } from '@cyborg/openstack/session';

import packageJson from '../../package.json' with { type: 'json' };
import { CliError } from '../errors.ts';
import type { CloudSettings } from './cloud-settings.ts';
import { required, withoutApiVersion } from './openstack.ts';
import type { Lookup, Source } from './source.ts';

/** @throws CliError naming what is missing or wrong. Nothing is sent before the source is used. */
export async function keystoneSource(settings: CloudSettings, io: Lookup['io']): Promise<Source> {
  const { values } = settings;
  if (/^(false|no|off|0)$/i.test(values.verify ?? '')) {
    throw new CliError(
      `${settings.origin} says 'verify: ${values.verify}', which would send the password to anybody: name the authority with ${settings.nameOf('caFile')}.`,
    );
  }
  const caFile =
    values.caFile === undefined ? undefined : resolve(io.workingDirectory, values.caFile);
  const session = await open(settings, io, caFile);
  const told = <Result>(work: Promise<Result>): Promise<Result> => work.catch(tell(settings));
  return {
    kind: 'cloud',
    caFile,
    locate: async () =>
      withoutApiVersion(values.endpoint ?? (await told(session.endpoint('accelerator')))),
    auth: { kind: 'keystone', token: async () => (await told(session.signIn())).id },
  };
}

async function open(
  settings: CloudSettings,
  { clock, rng }: Lookup['io'],
  caFile: string | undefined,
): Promise<Session> {
  const authUrl = required(settings, 'authUrl', settings.values.authType ?? 'password');
  const credentials = credentialsOf(settings);
  const ca = caFile === undefined ? undefined : await readCa(settings, caFile);
  try {
    return openSession({
      authUrl,
      credentials,
      region: settings.values.region,
      interface: interfaceOf(settings),
      ca,
      userAgent: `cyborg/${packageJson.version}`,
      clock,
      rng,
    });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new CliError(`${settings.origin}: ${settings.nameOf('authUrl')}: ${error.message}`);
  }
}

async function readCa(settings: CloudSettings, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(
      `${settings.nameOf('caFile')} of ${settings.origin} cannot be read: ${reason}.`,
    );
  }
}

function interfaceOf(settings: CloudSettings): Interface {
  const given = settings.values.interface ?? 'public';
  // `publicURL` is how version 2 of Keystone said it.
  const found = interfaces.find((name) => name === given.replace(/URL$/, ''));
  if (found !== undefined) return found;
  throw new CliError(
    `${settings.nameOf('interface')} of ${settings.origin} is '${given}'; it may be ${interfaces.join(', ')}.`,
  );
}

function credentialsOf(settings: CloudSettings): Credentials {
  const { values } = settings;
  const isCredential =
    values.credentialId !== undefined ||
    values.credentialName !== undefined ||
    /application/.test(values.authType ?? '');
  return isCredential ? applicationCredential(settings) : password(settings);
}

function applicationCredential(settings: CloudSettings): Credentials {
  const kind = 'application_credential';
  const { credentialId: id } = settings.values;
  const secret = required(settings, 'credentialSecret', kind);
  if (id !== undefined) return { kind, credential: { id }, secret };
  const name = required(settings, 'credentialName', kind);
  return { kind, credential: { name, user: userOf(settings, kind) }, secret };
}

function password(settings: CloudSettings): Credentials {
  return {
    kind: 'password',
    user: userOf(settings, 'password'),
    password: required(settings, 'password', 'password'),
    scope: scopeOf(settings),
  };
}

function userOf(settings: CloudSettings, forWhat: string): Named {
  const { userId, userDomainId, userDomainName } = settings.values;
  if (userId !== undefined) return { id: userId };
  const name = required(settings, 'username', forWhat);
  return { name, domain: domainOf(settings, userDomainId, userDomainName) };
}

function scopeOf(settings: CloudSettings): Scope {
  const { systemScope, projectId, projectDomainId, projectDomainName } = settings.values;
  if (systemScope !== undefined) return { kind: 'system' };
  if (projectId !== undefined) return { kind: 'project', project: { id: projectId } };
  const name = required(settings, 'projectName', 'password');
  const domain = domainOf(settings, projectDomainId, projectDomainName);
  return { kind: 'project', project: { name, domain } };
}

/** Without one it is the domain that every Keystone begins with. */
function domainOf(
  { values }: CloudSettings,
  id: string | undefined,
  name: string | undefined,
): DomainName {
  if (id !== undefined) return { id };
  if (name !== undefined) return { name };
  if (values.defaultDomainId !== undefined) return { id: values.defaultDomainId };
  if (values.defaultDomainName !== undefined) return { name: values.defaultDomainName };
  return { id: 'default' };
}

function tell(settings: CloudSettings): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof OpenStackError)) throw error;
    const hint =
      error.failure === 'sign-in'
        ? ` (${settings.origin})`
        : error.failure === 'no-endpoint'
          ? ' Or name the server with --url.'
          : '';
    throw new CliError(`${error.message}${hint}`);
  };
}

/** From options to a session with Keystone and the clients of what is in its catalogue. */
import { readFileSync, statSync } from 'node:fs';

import type { Credentials } from '@cyborg/openstack/keystone/credentials';
import { identityUrl } from '@cyborg/openstack/keystone/sign-in';
import { makeServices } from '@cyborg/openstack/services';
import type { OpenStackServices } from '@cyborg/openstack/services';
import { openSession } from '@cyborg/openstack/session';
import type { Session, SessionOptions } from '@cyborg/openstack/session';
import type { Clock } from '@cyborg/service/clock';
import { OptionError } from '@cyborg/service/option-error';
import type { Rng } from '@cyborg/service/rng';
import type { Connection } from '@cyborg/store/connect';
import { countWaitingForPlacement } from '@cyborg/store/placement';

import type { ServerOptions } from '../options.ts';
import type { NotificationSettings } from './nova-notifications.ts';
import type { ReadinessCheck } from '../readiness.ts';
import { serverVersion } from '../version.ts';

/** What the options say, with its files read. */
export interface OpenStackSettings {
  readonly session: Omit<SessionOptions, 'clock' | 'rng'>;
  /** What a 401 names. */
  readonly publicUrl: string;
  readonly usesNova: boolean;
  /** Undefined: Nova is asked what has changed. */
  readonly notifications: NotificationSettings | undefined;
  readonly usesPlacement: boolean;
  readonly placesHotplug: boolean;
}

/**
 * @returns undefined when there is no Keystone.
 * @throws {OptionError} naming the option and the way out.
 */
export function readOpenStackOptions(options: ServerOptions): OpenStackSettings | undefined {
  const { keystoneUrl } = options;
  if (keystoneUrl === undefined) {
    refuseWithoutKeystone(options);
    return undefined;
  }
  return {
    session: {
      authUrl: keystoneUrl,
      credentials: credentialsOf(options),
      region: options.keystoneRegion,
      interface: options.keystoneInterface,
      ca: readCa(options.keystoneCa),
      userAgent: `cyborg-server/${serverVersion}`,
    },
    publicUrl: identityUrl(options.keystonePublicUrl ?? keystoneUrl),
    usesNova: options.nova !== 'off',
    notifications: readNotifications(options),
    usesPlacement: options.placement !== 'off',
    placesHotplug: options.placementHotplug === 'on',
  };
}

function refuseWithoutKeystone({ auth, nova, placement }: ServerOptions): void {
  const asking = [
    ...(auth === 'keystone' ? ['--auth keystone'] : []),
    ...(nova === 'on' ? ['--nova on'] : []),
    ...(placement === 'on' ? ['--placement on'] : []),
  ];
  const [first] = asking;
  if (first === undefined) return;
  throw new OptionError(
    `${first} needs --keystone-url, such as --keystone-url https://keystone.example:5000/v3.`,
  );
}

function credentialsOf(options: ServerOptions): Credentials {
  const { keystoneApplicationCredential: id } = options;
  if (id !== undefined) {
    const secret = readSecret({
      flag: '--keystone-application-credential-secret-file',
      file: options.keystoneApplicationCredentialSecretFile,
      value: options.keystoneApplicationCredentialSecret,
      variable: 'CYBORG_SERVER_KEYSTONE_APPLICATION_CREDENTIAL_SECRET',
    });
    return { kind: 'application_credential', credential: { id }, secret };
  }
  const domain = { name: options.keystoneUserDomain };
  const project = {
    name: options.keystoneProject,
    domain: { name: options.keystoneProjectDomain },
  };
  return {
    kind: 'password',
    user: { name: options.keystoneUser, domain },
    password: readSecret({
      flag: '--keystone-password-file',
      file: options.keystonePasswordFile,
      value: options.keystonePassword,
      variable: 'CYBORG_SERVER_KEYSTONE_PASSWORD',
    }),
    scope: { kind: 'project', project },
  };
}

function readNotifications(options: ServerOptions): NotificationSettings | undefined {
  const { novaNotificationsUrl: value, novaNotificationsUrlFile: file } = options;
  if (options.nova === 'off' || (value === undefined && file === undefined)) return undefined;
  const flag = '--nova-notifications-url-file';
  const variable = 'CYBORG_SERVER_NOVA_NOTIFICATIONS_URL';
  const url = readSecret({ flag, file, value, variable });
  if (!URL.canParse(url) || !['amqp:', 'amqps:'].includes(new URL(url).protocol)) {
    throw new OptionError(
      `${file === undefined ? variable : flag} holds no amqp:// or amqps:// URL, such as amqp://nova:PASSWORD@rabbit.example:5672/.`,
    );
  }
  return { url, ca: readCa(options.keystoneCa) };
}

interface SecretSource {
  readonly flag: string;
  readonly file: string | undefined;
  readonly value: string | undefined;
  readonly variable: string;
}

function readSecret({ flag, file, value, variable }: SecretSource): string {
  if (file === undefined) {
    if (value !== undefined) return value;
    throw new OptionError(`${flag} is missing: give it, or ${variable} in the environment.`);
  }
  const text = readText(flag, file).replace(/\r?\n$/, '');
  const { mode } = statSync(file);
  if ((mode & 0o077) !== 0) {
    throw new OptionError(
      `${flag}: ${file} can be read by others (mode ${(mode & 0o777).toString(8)}): run chmod 600 ${file}.`,
    );
  }
  if (text === '') throw new OptionError(`${flag}: ${file} is empty.`);
  return text;
}

function readCa(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  const text = readText('--keystone-ca', file);
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw new OptionError(`--keystone-ca: ${file} holds no PEM certificate.`);
}

function readText(flag: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new OptionError(`${flag} cannot be read: ${reason}.`);
  }
}

export interface OpenStack extends Disposable {
  /** What a 401 names. */
  readonly publicUrl: string;
  readonly session: Session;
  readonly services: OpenStackServices;
}

/** Signs in when it is first needed: a Keystone that is away does not keep this server from starting. */
export function openOpenStack(
  { session: settings, publicUrl, ...choice }: OpenStackSettings,
  { clock, rng }: { clock: Clock; rng: Rng },
): OpenStack {
  const session = openSession({ ...settings, clock, rng });
  return {
    session,
    publicUrl,
    services: makeServices(session, { ...choice, clock }),
    [Symbol.dispose]: () => session[Symbol.dispose](),
  };
}

const keystoneAnswerMs = 2_000;

/**
 * A note, and no reason to be unready: agents, `/healthz` and tokens known a minute ago are served without Keystone, and
 * a balancer that turned away from every replica would only make its outage ours.
 */
export function keystoneCheck(session: Session): ReadinessCheck {
  return {
    name: 'keystone',
    async check() {
      try {
        await session.request({
          type: 'identity',
          service: 'Keystone',
          method: 'GET',
          path: '',
          timeoutMs: keystoneAnswerMs,
        });
        return undefined;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        return { note: `only tokens known from the last minute are served: ${reason}` };
      }
    },
  };
}

/** A note: accelerators are given, bound and taken back without Placement; it is told when it is there again. */
export function placementCheck(db: Connection['db']): ReadinessCheck {
  return {
    name: 'placement',
    async check() {
      const troubles = (await countWaitingForPlacement(db)).filter(
        ({ trouble }) => trouble !== null,
      );
      const [first] = troubles;
      if (first === undefined) return undefined;
      const count = troubles.reduce((sum, each) => sum + each.count, 0);
      return {
        note: `${count} deployables wait to be written, since ${first.waiting_since.toISOString()}: ${first.reason ?? first.trouble ?? ''}`,
      };
    },
  };
}

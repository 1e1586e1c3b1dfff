/** People who sign in to the console: Keystone checks name and password, the ticket is the token it gives. */
import { CallerToken } from '@cyborg/model/caller-token';
import { ServiceError } from '@cyborg/model/errors';
import { OpenStackError } from '@cyborg/openstack/errors';
import type { Credentials } from '@cyborg/openstack/keystone/credentials';
import type { SignedIn } from '@cyborg/openstack/keystone/sign-in';
import type { Session } from '@cyborg/openstack/session';
import type { Logger } from '@cyborg/service/logging';

import type { SignIns, SignInWords } from '../authenticator.ts';
import type { FailedLogins } from '../failed-logins.ts';
import { toCaller } from './to-caller.ts';
import type { ValidatedTokens } from './validated-tokens.ts';

export interface KeystoneSignInDeps {
  readonly session: Pick<Session, 'signInAs'>;
  readonly failures: FailedLogins;
  readonly tokens: ValidatedTokens;
  readonly log: Pick<Logger, 'warn'>;
}

export function makeKeystoneSignIns({
  session,
  failures,
  tokens,
  log,
}: KeystoneSignInDeps): SignIns {
  return {
    kind: 'keystone',
    async begin(words, address) {
      const credentials = toCredentials(words);
      failures.check(address, words.user);
      failures.count(address, words.user);
      const signedIn = await ask(session, credentials, log);
      if (signedIn === undefined) return undefined;
      failures.forgive(address, words.user);
      return { caller: toCaller(signedIn.token, false), ticket: signedIn.id };
    },
    async resume(ticket) {
      const user = await tokens.get({ token: ticket, allowExpired: false });
      if (user === undefined) return undefined;
      return { ...toCaller(user, false), token: new CallerToken(ticket) };
    },
  };
}

/** @throws ServiceError `unavailable` when Keystone does not answer. */
async function ask(
  session: Pick<Session, 'signInAs'>,
  credentials: Credentials,
  log: Pick<Logger, 'warn'>,
): Promise<SignedIn | undefined> {
  try {
    return await session.signInAs(credentials);
  } catch (error) {
    if (!(error instanceof OpenStackError)) throw error;
    if (error.failure === 'sign-in') return undefined;
    log.warn({ err: error }, 'Keystone did not answer a sign-in');
    throw new ServiceError('unavailable', 'Keystone cannot be asked now: try again.', {
      internal: error.message,
      cause: error,
    });
  }
}

/** A project is looked for by name in the same domain as the user, as `clouds.yaml` mostly has them. */
function toCredentials({ user, password, project, domain }: SignInWords): Credentials {
  if (project === undefined) {
    throw new ServiceError('invalid-input', 'project: give the project to work in.', {
      extra: { field: 'project' },
    });
  }
  const within = { name: domain ?? 'Default' };
  return {
    kind: 'password',
    user: { name: user, domain: within },
    password,
    scope: { kind: 'project', project: { name: project, domain: within } },
  };
}

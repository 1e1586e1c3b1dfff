/** X-Auth-Token and X-Service-Token, as services of OpenStack take them: Keystone says whose they are. */
import type { IncomingHttpHeaders } from 'node:http';

import { CallerToken } from '@cyborg/model/caller-token';
import { ServiceError } from '@cyborg/model/errors';
import { OpenStackError } from '@cyborg/openstack/errors';
import type { Token } from '@cyborg/openstack/keystone/token';
import { validateToken } from '@cyborg/openstack/keystone/validate';
import type { Session } from '@cyborg/openstack/session';
import type { Clock } from '@cyborg/service/clock';
import type { Logger } from '@cyborg/service/logging';
import type { Rng } from '@cyborg/service/rng';

import type { Authenticator } from '../authenticator.ts';
import { makeFailedLogins } from '../failed-logins.ts';
import { makeKeystoneSignIns } from './sign-ins.ts';
import { toCaller } from './to-caller.ts';
import { makeValidatedTokens } from './validated-tokens.ts';
import type { TokenQuestion } from './validated-tokens.ts';

export const keystoneLimits = {
  /** For one token, retries included: who waits for it is a user. */
  validateMs: 8_000,
  tokenCharsMax: 8_192,
} as const;

export interface KeystoneOptions {
  /** Of the service user: it asks whose tokens are. */
  readonly session: Session;
  /** What a 401 names: where users get tokens. */
  readonly publicUrl: string;
  /** One of these makes a token a service's. */
  readonly serviceTokenRoles: readonly string[];
  readonly validSeconds: number;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Pick<Logger, 'warn'>;
}

export function makeKeystone(options: KeystoneOptions): Authenticator {
  const { session, publicUrl, clock, rng, validSeconds, log } = options;
  const serviceRoles = new Set(options.serviceTokenRoles);
  const ask = async ({ token, allowExpired }: TokenQuestion): Promise<Token | undefined> => {
    try {
      const timeoutMs = keystoneLimits.validateMs;
      return await validateToken(session, token, { allowExpired, timeoutMs });
    } catch (error) {
      if (!(error instanceof OpenStackError)) throw error;
      log.warn({ err: error }, 'Keystone did not say whose a token is');
      throw unavailable(error);
    }
  };
  const tokens = makeValidatedTokens({ clock, rng, validSeconds, ask });
  const failures = makeFailedLogins(clock);
  return {
    signIns: makeKeystoneSignIns({ session, failures, tokens, log }),
    challenge: `Keystone uri="${publicUrl}"`,
    advice: `Send a token of Keystone at ${publicUrl} as X-Auth-Token ('openstack token issue' shows one).`,
    async authenticate({ headers }) {
      const token = tokenOf(headers, 'x-auth-token');
      if (token === undefined) return undefined;
      // Empty counts as absent, as in keystonemiddleware.
      const isServiceRequest = (headers['x-service-token'] ?? '') !== '';
      if (isServiceRequest) {
        const given = tokenOf(headers, 'x-service-token');
        if (given === undefined) return undefined;
        const service = await tokens.get({ token: given, allowExpired: false });
        if (!service?.roles.some((role) => serviceRoles.has(role))) return undefined;
      }
      // A service goes on with what a user began, even when that took longer than the user's token is valid.
      const user = await tokens.get({ token, allowExpired: isServiceRequest });
      if (user === undefined) return undefined;
      return { ...toCaller(user, isServiceRequest), token: new CallerToken(token) };
    },
  };
}

function tokenOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = [headers[name]].flat()[0]?.trim();
  if (value === undefined || value.length > keystoneLimits.tokenCharsMax) return undefined;
  return /^[\x21-\x7e]+$/.test(value) ? value : undefined;
}

/** Not 401: the token may be good, and a client would throw it away. */
function unavailable(error: OpenStackError): ServiceError {
  return new ServiceError(
    'unavailable',
    'Keystone cannot be asked now whose this token is: try again.',
    { internal: error.message, cause: error },
  );
}

import type { Clock } from '@cyborg/service/clock';
import type { Logger } from '@cyborg/service/logging';
import { OptionError } from '@cyborg/service/option-error';
import type { Rng } from '@cyborg/service/rng';

import type { Authenticator } from '../auth/authenticator.ts';
import { openHttpBasic } from '../auth/http-basic.ts';
import { makeKeystone } from '../auth/keystone/keystone.ts';
import { makeNoAuthentication } from '../auth/none.ts';
import { UsersFileError } from '../auth/users-file.ts';
import { usersFileOf } from '../options.ts';
import type { ServerOptions } from '../options.ts';
import type { OpenStack } from './openstack.ts';

interface Surroundings {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly openStack: OpenStack | undefined;
}

/** @throws {OptionError} */
export async function openAuthenticator(
  options: ServerOptions,
  { clock, rng, log, openStack }: Surroundings,
): Promise<Authenticator> {
  switch (options.auth) {
    case 'none':
      return makeNoAuthentication();
    case 'http_basic':
      return openUsers(options, { clock, rng, log });
    case 'keystone':
      if (openStack === undefined) throw new OptionError('--auth keystone needs --keystone-url.');
      return makeKeystone({
        session: openStack.session,
        publicUrl: openStack.publicUrl,
        serviceTokenRoles: options.serviceTokenRoles,
        validSeconds: options.keystoneTokenCache,
        clock,
        rng,
        log,
      });
    default:
      return options.auth;
  }
}

async function openUsers(
  options: ServerOptions,
  surroundings: Omit<Surroundings, 'openStack'>,
): Promise<Authenticator> {
  try {
    return await openHttpBasic({ ...surroundings, usersFile: usersFileOf(options) });
  } catch (error) {
    if (error instanceof UsersFileError) throw new OptionError(`--users-file: ${error.message}`);
    throw error;
  }
}

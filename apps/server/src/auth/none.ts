import { ServiceError } from '@cyborg/model/errors';
import { resolveRoles } from '@cyborg/model/caller';
import type { Caller } from '@cyborg/model/caller';

import type { Authenticator } from './authenticator.ts';

const admin: Caller = {
  userId: 'admin',
  userName: 'admin',
  projectId: 'admin',
  projectName: 'admin',
  roles: resolveRoles(['admin']),
  isServiceRequest: true,
};

const loopbackNames = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/**
 * Everybody is admin: for loopback only. A web page that had its name resolved to 127.0.0.1 ("DNS rebinding") comes
 * with its own name in Host, and is refused.
 */
export function makeNoAuthentication(): Authenticator {
  return {
    challenge: 'None',
    advice: '',
    async authenticate({ headers }) {
      if (loopbackNames.test(headers.host ?? '')) return admin;
      throw new ServiceError(
        'forbidden',
        'Without authentication only requests to localhost are answered: ask for http://127.0.0.1, or start the server with --auth http_basic.',
      );
    },
  };
}

/** Finding out who asks: http_basic, none, and later Keystone. */
import type { IncomingHttpHeaders } from 'node:http';

import type { Caller } from '@cyborg/model/caller';

export interface AuthRequest {
  readonly headers: IncomingHttpHeaders;
  /** Of the client, as far as it can be trusted. */
  readonly address: string;
}

export interface Authenticator {
  /**
   * @returns undefined when credentials are missing or wrong.
   * @throws ServiceError `too-many-failed-logins`
   */
  authenticate(request: AuthRequest): Promise<Caller | undefined>;
  /** WWW-Authenticate of a 401. */
  readonly challenge: string;
  /** What a person without valid credentials should do. */
  readonly advice: string;
}

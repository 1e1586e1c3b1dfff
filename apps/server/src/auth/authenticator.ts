/** Finding out who asks: http_basic, Keystone, none. */
import type { IncomingHttpHeaders } from 'node:http';

import type { Caller } from '@cyborg/model/caller';

export interface AuthRequest {
  readonly headers: IncomingHttpHeaders;
  /** Of the client, as far as it can be trusted. */
  readonly address: string;
}

/** What a person types to sign in. */
export interface SignInWords {
  readonly user: string;
  readonly password: string;
  /** Of Keystone alone. */
  readonly project?: string;
  readonly domain?: string;
}

export interface SignedIn {
  readonly caller: Caller;
  /** Enough to know the person again, and no password; it leaves the server only sealed. */
  readonly ticket: string;
}

/** People who sign in once and stay for a while: the console's. */
export interface SignIns {
  readonly kind: 'http_basic' | 'keystone';
  /**
   * @returns undefined when the words are wrong.
   * @throws ServiceError `too-many-failed-logins`, `invalid-input`, `unavailable`
   */
  begin(words: SignInWords, address: string): Promise<SignedIn | undefined>;
  /** @returns undefined when the person is gone, or has another password or no valid token any more. */
  resume(ticket: string): Promise<Caller | undefined>;
}

export interface Authenticator {
  /**
   * @returns undefined when credentials are missing or wrong.
   * @throws ServiceError `too-many-failed-logins`
   */
  authenticate(request: AuthRequest): Promise<Caller | undefined>;
  /** Absent: nobody needs to sign in. */
  readonly signIns?: SignIns;
  /** WWW-Authenticate of a 401. */
  readonly challenge: string;
  /** What a person without valid credentials should do. */
  readonly advice: string;
}

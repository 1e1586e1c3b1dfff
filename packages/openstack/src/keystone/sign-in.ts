import type { Answer } from '../answer.ts';
import { malformed } from '../answer.ts';
import type { Caller } from '../call.ts';
import { OpenStackError, isAnswer } from '../errors.ts';
import type { Exchange } from '../errors.ts';
import { ShapeError } from '../reader.ts';
import { describeCredentials, signInBody } from './credentials.ts';
import type { Credentials } from './credentials.ts';
import { parseToken } from './token.ts';
import type { Token } from './token.ts';

export interface SignedIn {
  /** What is sent as X-Auth-Token. */
  readonly id: string;
  readonly token: Token;
}

export type SignIn = (signal: AbortSignal | undefined) => Promise<SignedIn>;

const exchange: Exchange = { service: 'Keystone', method: 'POST', path: '/auth/tokens' };

/** Adds `/v3`, as every client of OpenStack does. @throws {TypeError} when it is no http or https URL. */
export function identityUrl(authUrl: string): string {
  const url = URL.canParse(authUrl) ? new URL(authUrl) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new TypeError(`'${authUrl}' is no http:// or https:// URL of Keystone.`);
  }
  const bare = (url.origin + url.pathname).replace(/\/+$/, '');
  return bare.endsWith('/v3') ? bare : `${bare.replace(/\/v2\.0$/, '')}/v3`;
}

export function makeSignIn({
  identity,
  credentials,
  caller,
}: {
  identity: string;
  credentials: Credentials;
  caller: Caller;
}): SignIn {
  const body = JSON.stringify(signInBody(credentials));
  const request = {
    exchange,
    url: new URL(`${identity}/auth/tokens`),
    headers: { accept: 'application/json' },
    body,
    // A token that nobody heard of ends by itself.
    isRepeatable: true,
  };
  return async (signal) => {
    try {
      return toSignedIn(await caller.call(request, { signal }));
    } catch (error) {
      throw isAnswer(error, 401) || isAnswer(error, 403) || isAnswer(error, 404)
        ? refused(error, { identity, credentials })
        : error;
    }
  };
}

function toSignedIn({ headers, body }: Answer): SignedIn {
  const id = headers['x-subject-token'];
  try {
    if (id === undefined) throw new ShapeError('the header X-Subject-Token is missing');
    return { id, token: parseToken(body) };
  } catch (error) {
    if (error instanceof ShapeError) throw malformed(exchange, error);
    throw error;
  }
}

function refused(
  error: OpenStackError,
  { identity, credentials }: { identity: string; credentials: Credentials },
): OpenStackError {
  const who = describeCredentials(credentials);
  const message =
    error.status === 404
      ? `There is no Keystone v3 at ${identity} (404): correct its URL, which usually ends in /v3.`
      : `Keystone at ${identity} does not sign in ${who} (${error.status}). ` +
        'Check name, domain, password or secret, and that it has a role in the project.';
  return new OpenStackError(message, {
    failure: 'sign-in',
    exchange,
    status: error.status,
    detail: error.detail,
    cause: error,
  });
}

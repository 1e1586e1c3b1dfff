/** Signed in with Keystone: a token that is renewed in time, the catalogue, and calls with both. */
import type { IncomingMessage } from 'node:http';

import type { Answer } from './answer.ts';
import { makeCaller, withinTime } from './call.ts';
import type { CallOptions } from './call.ts';
import { isAnswer } from './errors.ts';
import type { Exchange } from './errors.ts';
import { findEndpoint } from './keystone/catalogue.ts';
import type { Interface } from './keystone/catalogue.ts';
import type { Credentials } from './keystone/credentials.ts';
import { identityUrl, makeSignIn } from './keystone/sign-in.ts';
import type { SignedIn } from './keystone/sign-in.ts';
import { makeTokenKeeper } from './keystone/token-keeper.ts';
import { defaultCallLimits } from './limits.ts';
import type { CallLimits } from './limits.ts';
import type { SessionClock, SessionRng } from './time.ts';
import { makeTransport } from './transport.ts';
import type { OutgoingRequest } from './transport.ts';

export interface SessionOptions {
  /** `https://cloud.example:5000/v3`; `/v3` is added when it is missing. */
  readonly authUrl: string;
  readonly credentials: Credentials;
  /** Needed when the catalogue has more than one. */
  readonly region?: string | undefined;
  readonly interface?: Interface | undefined;
  /** PEM of the authorities to trust instead of the system's; for every service. */
  readonly ca?: string | undefined;
  /** By service type; goes before the catalogue. */
  readonly endpointOverrides?: Readonly<Record<string, string>> | undefined;
  readonly userAgent?: string | undefined;
  readonly limits?: Partial<CallLimits> | undefined;
  readonly clock: SessionClock;
  readonly rng: SessionRng;
}

export interface ServiceRequest extends CallOptions {
  /** In the catalogue: `compute`, `placement`, `image`, `identity`, `accelerator`. */
  readonly type: string;
  /** For messages: `Nova`. */
  readonly service: string;
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below the endpoint, with its slash, encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: object | undefined;
  /** `req-<uuid>` of the request that this call is part of: the other service logs it. */
  readonly requestId?: string | undefined;
  /** A user's token: asks in its owner's name, vouched for by ours. A 401 then says that it is not good any more. */
  readonly userToken?: string | undefined;
}

export interface Session extends Disposable {
  /** Keystone's address, ending in `/v3`. */
  readonly identityUrl: string;
  /** A token that is good for a while. @throws {OpenStackError} */
  signIn(signal?: AbortSignal): Promise<SignedIn>;
  /** A token of somebody else's, for a person who signs in. @throws {OpenStackError} `sign-in` when refused. */
  signInAs(credentials: Credentials, signal?: AbortSignal): Promise<SignedIn>;
  /** Where a service is; without a slash at its end. @throws {OpenStackError} `no-endpoint` */
  endpoint(type: string, signal?: AbortSignal): Promise<string>;
  /**
   * Calls a service; signs in again once when the token is refused.
   *
   * @throws {OpenStackError} for no answer, or a status from 400 on that `accept` does not list.
   */
  request(request: ServiceRequest): Promise<Answer>;
  /** As `request`, with the body unread: its reader ends it or destroys it. */
  download(request: ServiceRequest): Promise<IncomingMessage>;
}

type Act<Result> = (outgoing: OutgoingRequest, options: CallOptions) => Promise<Result>;

export function openSession(options: SessionOptions): Session {
  const { clock, rng } = options;
  const limits = { ...defaultCallLimits, ...options.limits };
  const transport = makeTransport({ ca: options.ca, userAgent: options.userAgent ?? 'cyborg' });
  const caller = makeCaller({ transport, clock, rng, limits });
  const identity = identityUrl(options.authUrl);
  const signIn = makeSignIn({ identity, credentials: options.credentials, caller });
  const keeper = makeTokenKeeper(signIn, clock);
  const endpoint = (type: string, signedIn: SignedIn): string =>
    endpointOf(type, signedIn, { options, identity });
  const withToken = async <Result>(request: ServiceRequest, act: Act<Result>): Promise<Result> => {
    const { type, accept, timeoutMs = limits.callMs } = request;
    const once = (signedIn: SignedIn, signal: AbortSignal): Promise<Result> =>
      act(toOutgoing(request, signedIn, endpoint(type, signedIn)), { accept, timeoutMs, signal });
    const twice = async (signal: AbortSignal): Promise<Result> => {
      const signedIn = await keeper.get(signal);
      try {
        return await once(signedIn, signal);
      } catch (error) {
        if (!isAnswer(error, 401) || request.userToken !== undefined) throw error;
        keeper.drop(signedIn);
        return once(await keeper.get(signal), signal);
      }
    };
    // Signing in counts too.
    return withinTime(twice, { clock, timeoutMs, signal: request.signal, exchange: request });
  };
  return {
    identityUrl: identity,
    signIn: (signal) => keeper.get(signal),
    signInAs: (credentials, signal) => makeSignIn({ identity, credentials, caller })(signal),
    endpoint: async (type, signal) => endpoint(type, await keeper.get(signal)),
    request: (request) => withToken(request, (outgoing, how) => caller.call(outgoing, how)),
    download: (request) => withToken(request, (outgoing, how) => caller.download(outgoing, how)),
    [Symbol.dispose]: () => transport[Symbol.dispose](),
  };
}

function endpointOf(
  type: string,
  { token }: SignedIn,
  { options, identity }: { options: SessionOptions; identity: string },
): string {
  // Where we signed in; the catalogue's may not be reachable from here, and may lack /v3.
  if (type === 'identity') return identity;
  const override = options.endpointOverrides?.[type];
  const url =
    override === undefined
      ? findEndpoint(token.catalogue, {
          type,
          interface: options.interface ?? 'public',
          region: options.region,
        }).href
      : override;
  return url.replace(/\/+$/, '');
}

function toOutgoing(request: ServiceRequest, { id }: SignedIn, endpoint: string): OutgoingRequest {
  const exchange: Exchange = {
    service: request.service,
    method: request.method,
    path: request.path,
  };
  return {
    exchange,
    url: new URL(`${endpoint}${request.path}${queryOf(request.query)}`),
    headers: {
      accept: 'application/json',
      ...tokensOf(request, id),
      ...(request.requestId === undefined ? {} : { 'x-openstack-request-id': request.requestId }),
      ...request.headers,
    },
    body: request.body === undefined ? undefined : JSON.stringify(request.body),
  };
}

/** With a service token, a user's that expired a short while ago still counts: what it began may be ended. */
function tokensOf({ userToken }: ServiceRequest, own: string): Record<string, string> {
  return userToken === undefined
    ? { 'x-auth-token': own }
    : { 'x-auth-token': userToken, 'x-service-token': own };
}

function queryOf(query: ServiceRequest['query'] = {}): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] satisfies [string, string]],
  );
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

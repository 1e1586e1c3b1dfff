/** Makes one function per operation out of a route table. */
import type { Headers, HttpRequest, Query, Transport } from './transport.ts';
import { fillPath } from './url.ts';

export interface Route {
  readonly method: string;
  readonly url: string;
}

/** What any operation may be called with; the typed clients narrow it. */
export interface CallArgs {
  readonly params?: Readonly<Record<string, unknown>> | undefined;
  readonly query?: Query | undefined;
  readonly body?: unknown;
  readonly headers?: Headers | undefined;
  readonly signal?: AbortSignal | undefined;
  /** For one attempt; a long poll needs more than the client's own. */
  readonly timeoutMs?: number | undefined;
}

/** Members that only shape the sending, not the act. */
export type CallOptions = Pick<CallArgs, 'headers' | 'signal' | 'timeoutMs'>;

type Call = (args?: CallArgs) => Promise<unknown>;

export function createOperations<Name extends string>(
  transport: Transport,
  routes: Readonly<Record<Name, Route>>,
): Record<Name, Call> {
  const calls: Partial<Record<Name, Call>> = {};
  let name: Name;
  for (name in routes) {
    const route = routes[name];
    calls[name] = async (args = {}) => (await transport.request(toRequest(route, args))).body;
  }
  return requireAll(calls, routes);
}

function requireAll<Name extends string>(
  calls: Partial<Record<Name, Call>>,
  routes: Readonly<Record<Name, Route>>,
): Record<Name, Call> {
  // Every key of `routes` was just assigned; TypeScript cannot follow a loop over a generic key.
  if (Object.keys(calls).length !== Object.keys(routes).length) throw new TypeError('No routes.');
  return calls as Record<Name, Call>;
}

function toRequest({ method, url }: Route, args: CallArgs): HttpRequest {
  const { params = {}, ...rest } = args;
  return { method, path: fillPath(url, params), ...rest };
}

/** Optional members also take `undefined`: a caller passes on what it may not have. */
export type Loose<T> = {
  [Key in keyof T]: undefined extends T[Key] ? T[Key] | undefined : T[Key];
};

type RequiredKeys<T> = {
  [Key in keyof T]-?: Partial<Pick<T, Key>> extends Pick<T, Key> ? never : Key;
}[keyof T];

/** `{key: T}`; the key may be left out when nothing in T is required; `{}` when the operation has no such part. */
export type Part<Key extends string, T> = [T] extends [undefined]
  ? { readonly [K in Key]?: undefined }
  : [RequiredKeys<T>] extends [never]
    ? { readonly [K in Key]?: Loose<T> | undefined }
    : { readonly [K in Key]: Loose<T> };

/** `(args)`, or `(args?)` when no part is required. */
export type Operation<Args, Result> =
  Partial<Args> extends Args ? (args?: Args) => Promise<Result> : (args: Args) => Promise<Result>;

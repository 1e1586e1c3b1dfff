import http from 'node:http';
import https from 'node:https';
import { randomInt } from 'node:crypto';
import { setTimeout as sleepFor } from 'node:timers/promises';

import { ConnectionError } from './errors.ts';
import { open, readAnswer, toConnectionError, type Opened, type Peer } from './exchange.ts';
import {
  defaultRetry,
  withRetry,
  type ClientClock,
  type ClientRng,
  type RetryLimits,
} from './retry.ts';
import { parseSse } from './sse.ts';
import type { HttpRequest, SseEvent, Transport } from './transport.ts';

export type Auth =
  | { readonly kind: 'basic'; readonly user: string; readonly password: string }
  | { readonly kind: 'bearer'; readonly token: string }
  /** Asked before each request, so that a token can be renewed; what it throws ends the request. */
  | { readonly kind: 'keystone'; readonly token: () => Promise<string> }
  | { readonly kind: 'none' };

export interface HttpClientOptions {
  /** `http://127.0.0.1:6680`, `https://cloud.example/accelerator`: any port (fetch refuses some). */
  readonly baseUrl: string;
  readonly auth: Auth;
  /** PEM of the authority to trust instead of the system's. */
  readonly ca?: string | undefined;
  /** For one attempt, answer included; 30 s unless told. */
  readonly timeoutMs?: number | undefined;
  readonly responseBytesMax?: number | undefined;
  readonly retry?: Partial<RetryLimits> | undefined;
  readonly userAgent?: string | undefined;
  /** Asked before each request; what the request gives itself goes before it. */
  readonly headers?: (() => Readonly<Record<string, string>>) | undefined;
  readonly clock?: ClientClock | undefined;
  readonly rng?: ClientRng | undefined;
}

export interface StreamRequest {
  readonly path: string;
  readonly query?: HttpRequest['query'];
  readonly headers?: HttpRequest['headers'];
  readonly signal?: AbortSignal | undefined;
  /** Silence, comments included, after which the stream counts as dead; 60 s unless told. */
  readonly idleTimeoutMs?: number | undefined;
}

export interface HttpClient extends Transport {
  /**
   * Follows a `text/event-stream` to its end. Never reconnects.
   *
   * @throws ApiError when it is refused; ConnectionError `lost` when it breaks, `timeout` when it falls silent.
   */
  stream(request: StreamRequest): AsyncGenerator<SseEvent>;
  /**
   * The bytes of an answer, as they come; there may be any number of them. Never repeated.
   *
   * @throws ApiError when it is refused; ConnectionError `lost` when it breaks, `timeout` when it falls silent.
   */
  download(request: StreamRequest): AsyncGenerator<Uint8Array>;
  /** Closes idle connections; the client must not be used after it. */
  close(): void;
}

export const httpLimits = {
  timeoutMs: 30_000,
  idleTimeoutMs: 60_000,
  responseBytesMax: 64 * 1024 * 1024,
  socketsMax: 64,
  /** Below a server's own keep-alive time, so that rarely both ends act at once. */
  socketIdleMs: 4_000,
} as const;

const systemClock: ClientClock = {
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) => sleepFor(ms, undefined, signal === undefined ? {} : { signal }),
};
const fractionSteps = 2 ** 47;
const systemRng: ClientRng = { fraction: () => randomInt(fractionSteps) / fractionSteps };

/**
 * An HTTP client on node:http, kept alive between requests.
 *
 * @throws TypeError when `baseUrl` is no http or https URL.
 */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const peer = toPeer(options);
  const bytesMax = options.responseBytesMax ?? httpLimits.responseBytesMax;
  let hasContact = false;
  const contact = async (request: HttpRequest, signal: AbortSignal): Promise<Opened> => {
    const opened = await open(peer, request, signal);
    hasContact = true;
    return opened;
  };
  const retry = {
    limits: { ...defaultRetry, ...options.retry },
    clock: options.clock ?? systemClock,
    rng: options.rng ?? systemRng,
    hasContact: () => hasContact,
  };
  const attempt = async (request: HttpRequest): Promise<Awaited<ReturnType<typeof readAnswer>>> => {
    const timeoutMs = request.timeoutMs ?? options.timeoutMs ?? httpLimits.timeoutMs;
    const signal = anySignal(request.signal, AbortSignal.timeout(timeoutMs));
    return readAnswer(await contact(request, signal), { bytesMax, base: peer.base, signal });
  };
  return {
    request: (request) => withRetry(request, () => attempt(request), retry),
    stream: (request) => streamEvents({ peer, contact, bytesMax }, request),
    download: (request) => downloadBytes({ peer, contact, bytesMax }, request),
    close: () => peer.agent.destroy(),
  };
}

function toPeer({ baseUrl, auth, ca, userAgent, headers }: HttpClientOptions): Peer {
  const base = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  if (base === undefined || !['http:', 'https:'].includes(base.protocol)) {
    throw new TypeError(`'${baseUrl}' is no http:// or https:// URL.`);
  }
  const kept = { keepAlive: true, maxSockets: httpLimits.socketsMax, timeout: 0 };
  return {
    base,
    agent:
      base.protocol === 'https:'
        ? new https.Agent({ ...kept, ...(ca === undefined ? {} : { ca }) })
        : new http.Agent(kept),
    credentials: () => credentialsOf(auth),
    userAgent: userAgent ?? 'cyborg',
    headers: headers ?? (() => ({})),
  };
}

async function credentialsOf(auth: Auth): Promise<Record<string, string>> {
  switch (auth.kind) {
    case 'none':
      return {};
    case 'bearer':
      return { authorization: `Bearer ${auth.token}` };
    case 'keystone':
      return { 'x-auth-token': await auth.token() };
    case 'basic': {
      const pair = Buffer.from(`${auth.user}:${auth.password}`, 'utf8').toString('base64');
      return { authorization: `Basic ${pair}` };
    }
    default:
      return auth;
  }
}

function anySignal(given: AbortSignal | undefined, own: AbortSignal): AbortSignal {
  return given === undefined ? own : AbortSignal.any([given, own]);
}

interface StreamDeps {
  readonly peer: Peer;
  readonly contact: (request: HttpRequest, signal: AbortSignal) => Promise<Opened>;
  readonly bytesMax: number;
}

async function* streamEvents(
  { peer, contact, bytesMax }: StreamDeps,
  request: StreamRequest,
): AsyncGenerator<SseEvent> {
  const watch = new IdleWatch(request.idleTimeoutMs ?? httpLimits.idleTimeoutMs);
  const signal = anySignal(request.signal, watch.signal);
  try {
    const headers = { accept: 'text/event-stream', ...request.headers };
    const opened = await contact({ ...request, method: 'GET', headers }, signal);
    if ((opened.message.statusCode ?? 0) >= 400) {
      await readAnswer(opened, { bytesMax, base: peer.base, signal });
    }
    requireEventStream(opened, peer.base);
    yield* parseSse(watch.over(opened.message));
  } catch (error) {
    throw toConnectionError(error, peer.base, signal);
  } finally {
    watch.stop();
  }
}

async function* downloadBytes(
  { peer, contact, bytesMax }: StreamDeps,
  request: StreamRequest,
): AsyncGenerator<Uint8Array> {
  const watch = new IdleWatch(request.idleTimeoutMs ?? httpLimits.idleTimeoutMs);
  const signal = anySignal(request.signal, watch.signal);
  try {
    const headers = { accept: 'application/octet-stream', ...request.headers };
    const opened = await contact({ ...request, method: 'GET', headers }, signal);
    if ((opened.message.statusCode ?? 0) >= 400) {
      await readAnswer(opened, { bytesMax, base: peer.base, signal });
    }
    yield* watch.over(opened.message);
  } catch (error) {
    throw toConnectionError(error, peer.base, signal);
  } finally {
    watch.stop();
  }
}

function requireEventStream({ message, headers }: Opened, base: URL): void {
  if (headers['content-type']?.startsWith('text/event-stream') === true) return;
  message.destroy();
  throw new ConnectionError('malformed', `${base.origin} did not answer with an event stream.`);
}

/** Aborts its signal when nothing has come for a while. */
class IdleWatch {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(idleMs: number) {
    this.#timer = setTimeout(() => {
      this.#controller.abort(new DOMException('The stream fell silent.', 'TimeoutError'));
    }, idleMs);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  async *over(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      this.#timer.refresh();
      yield chunk;
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

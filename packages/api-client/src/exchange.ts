/** One request and its answer over node:http(s). */
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { pipeline } from 'node:stream/promises';

import { packageMediaTypes } from '@cyborg/api-spec/routes';

import { ApiError, ConnectionError, type ConnectionFailure } from './errors.ts';
import type { Headers, HttpRequest, HttpResponse } from './transport.ts';
import { toQueryString } from './url.ts';

/** Where and as whom a client speaks. */
export interface Peer {
  readonly base: URL;
  readonly agent: http.Agent;
  /** Headers that say who asks. */
  readonly credentials: () => Promise<Readonly<Record<string, string>>>;
  readonly userAgent: string;
  readonly headers: () => Readonly<Record<string, string>>;
}

export interface Opened {
  readonly message: IncomingMessage;
  readonly headers: Headers;
}

/** Sends the request and resolves with the head of the answer; its body has not been read. */
export async function open(peer: Peer, request: HttpRequest, signal: AbortSignal): Promise<Opened> {
  const credentials = await peer.credentials();
  const bytes = toBytes(request.body);
  const payload =
    request.body === undefined || bytes !== undefined ? undefined : JSON.stringify(request.body);
  const { base } = peer;
  return new Promise((resolve, reject) => {
    const sent = (base.protocol === 'https:' ? https : http).request({
      protocol: base.protocol,
      hostname: base.hostname.replace(/^\[|\]$/g, ''),
      ...(base.port === '' ? {} : { port: base.port }),
      method: request.method,
      path: base.pathname.replace(/\/+$/, '') + request.path + toQueryString(request.query),
      agent: peer.agent,
      headers: {
        ...(bytes === undefined
          ? requestHeaders(peer, request, payload)
          : bytesHeaders(peer, request)),
        ...credentials,
      },
      signal,
    });
    sent.once('response', (message) => resolve({ message, headers: plainHeaders(message) }));
    sent.once('error', (error) => reject(toConnectionError(error, base, signal)));
    if (bytes === undefined) sent.end(payload);
    else void pipeline(bytes, sent).catch(reject); // an answer that came first has been heard
  });
}

function toBytes(body: unknown): AsyncIterable<Uint8Array> | undefined {
  const isIterable = typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
  // Of bytes: the types of the operations say so.
  return isIterable ? (body as AsyncIterable<Uint8Array>) : undefined;
}

function bytesHeaders(peer: Peer, request: HttpRequest): http.OutgoingHttpHeaders {
  return {
    accept: 'application/json, application/problem+json',
    'user-agent': peer.userAgent,
    'content-type': packageMediaTypes[0],
    ...peer.headers(),
    ...request.headers,
  };
}

function requestHeaders(
  peer: Peer,
  request: HttpRequest,
  payload: string | undefined,
): http.OutgoingHttpHeaders {
  return {
    accept: 'application/json, application/problem+json',
    'user-agent': peer.userAgent,
    ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
    ...(payload === undefined && (request.method === 'GET' || request.method === 'HEAD')
      ? {}
      : { 'content-length': Buffer.byteLength(payload ?? '') }),
    ...peer.headers(),
    ...request.headers,
  };
}

function plainHeaders(message: IncomingMessage): Headers {
  return Object.fromEntries(
    Object.entries(message.headers).map(([name, value]) => [name, [value].flat().join(', ')]),
  );
}

/** Reads the body to its end and parses it. @throws ApiError for a status of 400 and above. */
export async function readAnswer(
  { message, headers }: Opened,
  { bytesMax, base, signal }: { bytesMax: number; base: URL; signal: AbortSignal },
): Promise<HttpResponse> {
  const text = await readText(message, { bytesMax, base, signal });
  const status = message.statusCode ?? 0;
  if (status >= 400) throw toApiError({ status, headers, text });
  return { status, headers, body: parseBody(text, headers, base) };
}

async function readText(
  message: IncomingMessage,
  { bytesMax, base, signal }: { bytesMax: number; base: URL; signal: AbortSignal },
): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of message) {
      const piece = Buffer.from(chunk);
      bytes += piece.length;
      if (bytes > bytesMax) break;
      chunks.push(piece);
    }
  } catch (error) {
    throw toConnectionError(error, base, signal);
  }
  if (bytes <= bytesMax) return Buffer.concat(chunks).toString('utf8');
  throw new ConnectionError(
    'too-large',
    `${base.origin} answered with more than ${bytesMax} bytes; ask for smaller pages.`,
  );
}

function isJson(headers: Headers): boolean {
  return /^application\/([a-z0-9.+-]+\+)?json\b/i.test(headers['content-type'] ?? '');
}

function parseBody(text: string, headers: Headers, base: URL): unknown {
  if (text === '') return null;
  if (!isJson(headers)) return text;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ConnectionError('malformed', `${base.origin} answered with broken JSON.`, {
      cause: error,
    });
  }
}

function toApiError(answer: { status: number; headers: Headers; text: string }): ApiError {
  const { status, headers } = answer;
  const { title, code, detail, instance, ...extra } = problemOf(answer);
  delete extra['type'];
  delete extra['status'];
  const fallback = http.STATUS_CODES[status] ?? 'No reason given';
  return new ApiError({
    status,
    code: typeof code === 'string' ? code : `http-${status}`,
    title: typeof title === 'string' ? title : fallback,
    detail: typeof detail === 'string' && detail !== '' ? detail : `${status} ${fallback}`,
    extra,
    retryAfterMs: retryAfterMs(headers),
    requestId: typeof instance === 'string' ? instance : headers['x-request-id'],
  });
}

function problemOf({ headers, text }: { headers: Headers; text: string }): Record<string, unknown> {
  if (!isJson(headers)) return {};
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === 'object' && body !== null && !Array.isArray(body) ? { ...body } : {};
  } catch {
    return {};
  }
}

/** `Retry-After` in its two forms: seconds, or an HTTP date (measured against the server's own `Date`). */
export function retryAfterMs(headers: Headers): number | undefined {
  const value = headers['retry-after'];
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const atMs = Date.parse(value);
  const serverNowMs = Date.parse(headers['date'] ?? '');
  return Number.isNaN(atMs) || Number.isNaN(serverNowMs)
    ? undefined
    : Math.max(0, atMs - serverNowMs);
}

const refusedCodes = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOENT', 'EACCES']);
const unresolvableCodes = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL']);

function failureOf(code: string): ConnectionFailure {
  if (refusedCodes.has(code)) return 'refused';
  if (unresolvableCodes.has(code)) return 'unresolvable';
  if (code.startsWith('HPE_')) return 'malformed'; // not HTTP: perhaps TLS, or another service
  const isTls = /^(ERR_TLS|ERR_SSL|EPROTO|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code);
  return isTls ? 'tls' : 'lost';
}

/** An abort of the caller's own passes through as its reason. */
export function toConnectionError(error: unknown, base: URL, signal: AbortSignal): Error {
  if (error instanceof ConnectionError || error instanceof ApiError) return error;
  if (signal.aborted) {
    const reason: unknown = signal.reason;
    if (!isTimeout(reason)) return reason instanceof Error ? reason : new Error(String(reason));
    return new ConnectionError('timeout', `${base.origin} did not answer in time.`);
  }
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  return new ConnectionError(failureOf(code), `${base.origin}: ${message || code}`, {
    cause: error,
  });
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError';
}

/** Several addresses tried (localhost as ::1 and 127.0.0.1) come as one AggregateError. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

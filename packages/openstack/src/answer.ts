/** What a service answered, and an error of what it should not have answered. */
import { STATUS_CODES } from 'node:http';
import type { IncomingMessage } from 'node:http';

import { OpenStackError } from './errors.ts';
import type { Exchange } from './errors.ts';
import { isObject } from './reader.ts';

export interface Answer {
  readonly status: number;
  /** By lower-case name; a repeated one joined with commas. */
  readonly headers: Readonly<Record<string, string>>;
  /** Parsed JSON; null when the answer has no body, the text when it is not JSON. */
  readonly body: unknown;
}

export function headersOf(message: IncomingMessage): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(message.headers).map(([name, value]) => [name, [value].flat().join(', ')]),
  );
}

/** @throws {OpenStackError} `malformed` when it says that it is JSON and is not. */
export function parseBody(text: string, headers: Answer['headers'], exchange: Exchange): unknown {
  if (text === '') return null;
  if (!/\bjson\b/i.test(headers['content-type'] ?? '')) return text;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw malformed(exchange, error);
  }
}

/** For an answer whose shape is not the documented one. */
export function malformed(exchange: Exchange, cause: unknown): OpenStackError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new OpenStackError(
    `${exchange.service} answered ${exchange.method} ${exchange.path} with something else than expected: ${reason}. ` +
      'Is another service at its address in the catalogue?',
    { failure: 'malformed', exchange, cause },
  );
}

export function toError(answer: Answer, exchange: Exchange): OpenStackError {
  const { status, headers } = answer;
  const { code, detail } = reasonOf(answer.body);
  const requestId = headers['x-openstack-request-id'];
  const said = detail === undefined ? '' : `: ${detail.replace(/\.$/, '')}`;
  const title = `${status} ${STATUS_CODES[status] ?? ''}`.trim();
  return new OpenStackError(
    `${exchange.service} answered ${exchange.method} ${exchange.path} with ${title}${said}. ${adviceFor(status, exchange, requestId)}`.trim(),
    {
      failure: 'answered',
      exchange,
      status,
      code,
      detail,
      requestId,
      retryAfterMs: retryAfterMs(headers),
    },
  );
}

function adviceFor(status: number, { service }: Exchange, requestId: string | undefined): string {
  if (status === 401) {
    return 'The token is refused even after signing in again: check the account, and that this service uses the same Keystone.';
  }
  if (status === 403) return `Give the account the role that ${service} asks for.`;
  if (status === 429) return `Try again later: ${service} limits how often it is asked.`;
  if (status < 500) return '';
  return requestId === undefined
    ? `The log of ${service} says more.`
    : `The log of ${service} says more under ${requestId}.`;
}

const detailCharsMax = 500;

/** Keystone `{error: {message}}`, Placement `{errors: [{detail, code}]}`, Nova `{badRequest: {message}}`. */
function reasonOf(body: unknown): { code?: string | undefined; detail?: string | undefined } {
  if (!isObject(body)) return {};
  const [first] = Array.isArray(body['errors']) ? body['errors'] : Object.values(body);
  if (!isObject(first)) return {};
  const detail = first['detail'] ?? first['message'];
  const { code } = first;
  return {
    code: typeof code === 'string' ? code : undefined,
    detail: typeof detail === 'string' ? shorten(detail) : undefined,
  };
}

/** In one line: Placement's begins with a sentence that says nothing, on lines of its own. */
function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > detailCharsMax ? `${line.slice(0, detailCharsMax)}…` : line;
}

/** `Retry-After` in its two forms: seconds, or an HTTP date (measured against the server's own `Date`). */
export function retryAfterMs(headers: Answer['headers']): number | undefined {
  const value = headers['retry-after'];
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const atMs = Date.parse(value);
  const serverNowMs = Date.parse(headers['date'] ?? '');
  return Number.isNaN(atMs) || Number.isNaN(serverNowMs)
    ? undefined
    : Math.max(0, atMs - serverNowMs);
}

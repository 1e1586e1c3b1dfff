/** What Node refuses before there is a request (headers too large, no HTTP, too slow) is a problem document, too. */
import type { Duplex } from 'node:stream';
import { STATUS_CODES } from 'node:http';

import { ServiceError } from '@cyborg/model/errors';
import type { ErrorCode } from '@cyborg/model/errors';
import type { Rng } from '@cyborg/service/rng';

import { toAnswer } from '../problem.ts';

const refusals: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  HPE_HEADER_OVERFLOW: [
    'headers-too-large',
    'The headers are over 16 KiB in all: send fewer, or shorter ones.',
  ],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [
    'body-too-large',
    'The chunk extensions of the body are over 16 KiB: leave them out.',
  ],
  ERR_HTTP_REQUEST_TIMEOUT: [
    'request-timeout',
    'The request did not arrive in time: send it at once and whole.',
  ],
};

/** Answers on the bare connection and closes it: what follows on it cannot be told apart. */
export function refuseBrokenRequest(error: Error, socket: Duplex, rng: Pick<Rng, 'uuid'>): void {
  const code = 'code' in error ? String(error.code) : '';
  // Reset by the peer, or an answer has begun already: nobody would understand this one.
  if (code === 'ECONNRESET' || !socket.writable || hasBegun(socket)) {
    socket.destroy();
    return;
  }
  socket.end(textOf(toServiceError(error, code), `req-${rng.uuid()}`), () => socket.destroy());
}

function hasBegun(socket: Duplex): boolean {
  // Node keeps the response that is being written there, as its own default handler asks.
  const response: unknown = '_httpMessage' in socket ? socket._httpMessage : undefined;
  return (
    typeof response === 'object' &&
    response !== null &&
    'headersSent' in response &&
    response.headersSent === true
  );
}

function toServiceError(error: Error, code: string): ServiceError {
  const known = refusals[code];
  if (known !== undefined) return new ServiceError(...known);
  const reason = 'reason' in error ? String(error.reason) : error.message;
  return new ServiceError('invalid-input', `The request is no HTTP/1.1: ${reason || code}.`);
}

function textOf(error: ServiceError, requestId: string): string {
  const { problem, headers } = toAnswer(error, requestId);
  const body = JSON.stringify(problem);
  const all = {
    ...headers,
    connection: 'close',
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-request-id': requestId,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  const { status } = problem;
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`;
}

/** One request and the head of its answer over node:http(s); connections are kept alive. */
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';

import { traceHeaders } from '@cyborg/service/tracing';

import { OpenStackError } from './errors.ts';
import type { Exchange, OpenStackFailure } from './errors.ts';
import { connectionLimits } from './limits.ts';

export interface OutgoingRequest {
  readonly exchange: Exchange;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON text. */
  readonly body: string | undefined;
  /** A POST that does no harm when it is carried out twice: it is sent again when its answer is lost. */
  readonly isRepeatable?: boolean;
}

export interface Transport extends Disposable {
  /** @throws {OpenStackError} when no answer comes. */
  open(request: OutgoingRequest, signal: AbortSignal): Promise<IncomingMessage>;
}

export interface TransportOptions {
  /** PEM of the authorities to trust instead of the system's. */
  readonly ca?: string | undefined;
  readonly userAgent: string;
}

export function makeTransport({ ca, userAgent }: TransportOptions): Transport {
  const kept = {
    keepAlive: true,
    maxSockets: connectionLimits.socketsMax,
    timeout: connectionLimits.socketIdleMs,
  };
  const plain = new http.Agent(kept);
  const secure = new https.Agent({ ...kept, ...(ca === undefined ? {} : { ca }) });
  return {
    open: ({ exchange, url, headers, body }, signal) =>
      new Promise((resolve, reject) => {
        const isSecure = url.protocol === 'https:';
        const sent = (isSecure ? https : http).request(url, {
          agent: isSecure ? secure : plain,
          method: exchange.method,
          headers: {
            'user-agent': userAgent,
            ...bodyHeaders(exchange, body),
            ...traceHeaders(),
            ...headers,
          },
          // The agent's time is for idle sockets only; a call has its own.
          timeout: 0,
          signal,
        });
        sent.once('response', resolve);
        sent.on('error', (error) => reject(noAnswer(error, { exchange, url })));
        sent.end(body);
      }),
    [Symbol.dispose]() {
      plain.destroy();
      secure.destroy();
    },
  };
}

function bodyHeaders({ method }: Exchange, body: string | undefined): Record<string, string> {
  if (body !== undefined) {
    return {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
    };
  }
  return method === 'GET' || method === 'HEAD' ? {} : { 'content-length': '0' };
}

/** Reads an answer to its end. @throws {OpenStackError} `lost` or `too-large` */
export async function readText(
  message: IncomingMessage,
  { exchange, url, bytesMax }: { exchange: Exchange; url: URL; bytesMax: number },
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
    throw noAnswer(error, { exchange, url });
  }
  if (bytes <= bytesMax) return Buffer.concat(chunks).toString('utf8');
  throw new OpenStackError(
    `${exchange.service} answered ${exchange.method} ${exchange.path} with more than ${bytesMax} bytes: ask for less at once.`,
    { failure: 'too-large', exchange },
  );
}

const advice: Readonly<Partial<Record<OpenStackFailure, string>>> = {
  refused: 'Is it running, and is its address in the catalogue right?',
  unresolvable: 'Correct its address in the catalogue, or the name service of this machine.',
  tls: 'Name the authority of its certificate with a CA file, or correct http or https in its address.',
  lost: 'Its log should say why it broke off.',
  malformed: 'Is it HTTP that listens there, and with the right scheme?',
};

/** @param error  of node:http, node:tls, or the reason of an aborted signal. */
export function noAnswer(
  error: unknown,
  { exchange, url }: { exchange: Exchange; url: URL },
): OpenStackError {
  if (error instanceof OpenStackError) return error;
  const reason = reasonOf(error);
  const code = codeOf(error) ?? '';
  const failure = failureOf(code);
  return new OpenStackError(
    `${exchange.service} at ${url.origin} did not answer ${exchange.method} ${exchange.path}: ${reason}. ${advice[failure] ?? ''}`.trim(),
    { failure, exchange, cause: error },
  );
}

const refusedCodes = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EACCES']);
const unresolvableCodes = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL']);

function failureOf(code: string): OpenStackFailure {
  if (refusedCodes.has(code)) return 'refused';
  if (unresolvableCodes.has(code)) return 'unresolvable';
  if (code.startsWith('HPE_')) return 'malformed';
  const isTls = /^(ERR_TLS|ERR_SSL|EPROTO|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code);
  return isTls ? 'tls' : 'lost';
}

/** Node hides what happened to each address of a name in an AggregateError. */
function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error instanceof AggregateError ? codeOf(error.errors[0]) : undefined;
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return reasonOf(error.errors[0]);
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/\.$/, '');
}

/** HTTP by the browser: same origin, by the session's cookie. Nothing is retried here. */
import { ApiError, ConnectionError } from '@cyborg/api-client/errors';
import type { HttpRequest, HttpResponse, Transport } from '@cyborg/api-client/transport';
import { toQueryString } from '@cyborg/api-client/url';

/** What other sites cannot send; the server changes nothing by cookie without it. */
export const consoleHeaders = { 'x-cyborg-console': '1' } as const;

const timeoutMs = 30_000;

/** Told of every answer that says who we are not (any more). */
export type OnSignedOut = () => void;

export function makeTransport(onSignedOut: OnSignedOut): Transport {
  return {
    async request(request) {
      const response = await send(request);
      const body = await readBody(response);
      if (response.ok) return { status: response.status, headers: headersOf(response), body };
      if (response.status === 401) onSignedOut();
      throw toApiError(
        {
          status: response.status,
          statusText: response.statusText,
          retryAfter: response.headers.get('retry-after'),
        },
        body,
      );
    },
  };
}

async function send({
  method,
  path,
  query,
  headers,
  body,
  signal,
}: HttpRequest): Promise<Response> {
  const limit = AbortSignal.timeout(timeoutMs);
  try {
    return await fetch(path + toQueryString(query), {
      method,
      headers: {
        accept: 'application/json',
        ...consoleHeaders,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
      cache: 'no-store',
    });
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw limit.aborted
      ? new ConnectionError('timeout', 'The server did not answer in time.', { cause: error })
      : new ConnectionError('lost', 'The server cannot be reached.', { cause: error });
  }
}

async function readBody(response: Response): Promise<unknown> {
  const text = await response.text().catch(() => {
    throw new ConnectionError('lost', 'The connection broke during the answer.');
  });
  return parseBody(text, response.headers.get('content-type'));
}

export function parseBody(text: string, mediaType: string | null): unknown {
  if (text === '') return null;
  if (!(mediaType ?? '').includes('json')) return text;
  const body: unknown = JSON.parse(text);
  return body;
}

function headersOf(response: Response): HttpResponse['headers'] {
  return Object.fromEntries(response.headers);
}

export interface Refusal {
  readonly status: number;
  readonly statusText: string;
  /** Of the header of this name, in seconds. */
  readonly retryAfter: string | null;
}

export function toApiError({ status, statusText, retryAfter }: Refusal, body: unknown): ApiError {
  const problem = typeof body === 'object' && body !== null ? body : {};
  const { code, title, detail, instance, ...extra } = { ...problem } as Record<string, unknown>;
  const text = (value: unknown, otherwise: string): string =>
    typeof value === 'string' && value !== '' ? value : otherwise;
  const retryAfterMs = retryAfter === null ? Number.NaN : Number(retryAfter) * 1000;
  return new ApiError({
    status,
    code: text(code, `http-${status}`),
    title: text(title, statusText),
    detail: text(detail, `The server answered ${status}.`),
    extra,
    requestId: text(instance, '') || undefined,
    retryAfterMs: Number.isFinite(retryAfterMs) ? retryAfterMs : undefined,
  });
}

/** A file as a request's body, with word of how far it is: `fetch` cannot tell. */
import { ConnectionError } from '@cyborg/api-client/errors';
import { toQueryString } from '@cyborg/api-client/url';

import { consoleHeaders, parseBody, toApiError } from './transport.ts';

export interface Upload {
  readonly path: string;
  readonly query: Parameters<typeof toQueryString>[0];
  readonly file: Blob;
  readonly mediaType: string;
  /** From 0 to 1: how much of it has been sent. */
  readonly onProgress: (fraction: number) => void;
  readonly signal: AbortSignal;
}

/** A slow line takes its time with 64 MiB. */
const timeoutMs = 30 * 60_000;

/** @throws ApiError when it is refused, ConnectionError without an answer, the signal's reason when aborted. */
export function sendFile(upload: Upload): Promise<unknown> {
  const { path, query, file, mediaType, onProgress, signal } = upload;
  const request = new XMLHttpRequest();
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const abort = (): void => request.abort();
  signal.addEventListener('abort', abort, { once: true });
  request.upload.addEventListener('progress', ({ loaded, total }) => {
    if (total > 0) onProgress(loaded / total);
  });
  request.addEventListener('load', () => resolve(answerOf(request)));
  request.addEventListener('abort', () => reject(signal.reason));
  request.addEventListener('timeout', () =>
    reject(new ConnectionError('timeout', 'The server did not answer in time.')),
  );
  request.addEventListener('error', () =>
    reject(new ConnectionError('lost', 'The connection broke while the file was sent.')),
  );
  request.open('POST', path + toQueryString(query));
  request.timeout = timeoutMs;
  const headers = { accept: 'application/json', 'content-type': mediaType, ...consoleHeaders };
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.send(file);
  return promise.finally(() => signal.removeEventListener('abort', abort));
}

async function answerOf(request: XMLHttpRequest): Promise<unknown> {
  const body = parseBody(request.responseText, request.getResponseHeader('content-type'));
  if (request.status < 400) return body;
  throw toApiError(
    {
      status: request.status,
      statusText: request.statusText,
      retryAfter: request.getResponseHeader('retry-after'),
    },
    body,
  );
}

/** Bodies are JSON in UTF-8, and nothing else is read. */
import { TextDecoder } from 'node:util';

import { ServiceError } from '@cyborg/model/errors';
import type { FastifyInstance } from 'fastify';

export function takeJsonBodies(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const text = decode(utf8, body);
    if (text === undefined) done(notUtf8());
    else void parse(request, text, done);
  });
}

function decode(utf8: TextDecoder, body: string | Buffer): string | undefined {
  if (typeof body === 'string') return body;
  try {
    return utf8.decode(body);
  } catch {
    return undefined;
  }
}

function notUtf8(): ServiceError {
  return new ServiceError(
    'invalid-input',
    'body: has bytes that are no UTF-8; send JSON in UTF-8, as RFC 8259 asks.',
    { extra: { field: 'body' } },
  );
}

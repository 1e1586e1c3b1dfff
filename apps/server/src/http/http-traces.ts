/** A span for each request of a user, and for what an agent reports as a part of a trace. */
import { openSpan, isTracing } from '@cyborg/service/tracing';
import type { OpenSpan } from '@cyborg/service/tracing';
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  HookHandlerDoneFunction,
} from 'fastify';

import { requestSpan } from '../spans.ts';

/** What would only say that somebody looks whether we are well, or waits. */
const untraced = /^\/(healthz|readyz|metrics|console)\b/;

export function registerHttpTraces(app: FastifyInstance): void {
  if (!isTracing()) return;
  const spans = new WeakMap<FastifyRequest, OpenSpan>();
  const goOn = (
    request: FastifyRequest,
    _reply: FastifyReply,
    done: HookHandlerDoneFunction,
  ): void => {
    const span = spans.get(request);
    if (span === undefined) done();
    else span.run(done);
  };
  app.addHook('onRequest', (request, reply, done) => {
    const span = spanOf(request);
    if (span !== undefined) {
      spans.set(request, span);
      reply.raw.once('close', () => endSpan(span, { request, reply }));
    }
    goOn(request, reply, done);
  });
  // Reading the body leaves the context of the request.
  app.addHook('preValidation', goOn);
}

function spanOf(request: FastifyRequest): OpenSpan | undefined {
  const { url } = request.routeOptions;
  if (url !== undefined && untraced.test(url)) return undefined;
  const given = [request.headers['traceparent']].flat()[0];
  return openSpan(requestSpan(request.method, url), {
    kind: 'server',
    parent: given,
    // What agents ask by themselves, many times a minute, is no trace of its own.
    beginsTrace: url?.startsWith('/agent/') !== true,
    attributes: {
      'http.request.method': request.method,
      'http.route': url,
      'cyborg.request_id': request.id,
    },
  });
}

function endSpan(
  span: OpenSpan,
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
): void {
  span.set({
    'http.response.status_code': reply.statusCode,
    'openstack.request_id': textOf(reply.getHeader('x-openstack-request-id')),
  });
  if (reply.statusCode >= 500) span.fail(`${request.method} was answered ${reply.statusCode}`);
  span.end();
}

function textOf(header: unknown): string | undefined {
  return typeof header === 'string' ? header : undefined;
}

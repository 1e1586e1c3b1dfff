import type { Metrics } from '@cyborg/service/metrics';
import type { FastifyInstance } from 'fastify';

import type { HttpDeps } from '../http/deps.ts';

/** By the route as it is written, never by the path: as many as there are routes. */
export function makeHttpMetrics(metrics: Metrics) {
  return {
    seconds: metrics.histogram({
      name: 'http_request_duration_seconds',
      help: 'Time from the request to the end of its answer, by route; `none` is a path that is no route.',
      labels: ['method', 'route', 'status'],
    }),
    inFlight: metrics.gauge({
      name: 'http_requests_in_flight',
      help: 'Requests that have no complete answer yet, long polls and streams included.',
    }),
  };
}

export function registerHttpMetrics(app: FastifyInstance, { metrics, log }: HttpDeps): void {
  const { seconds, inFlight } = makeHttpMetrics(metrics);
  app.addHook('onRequest', async (_request, reply) => {
    inFlight.inc();
    reply.raw.once('close', () => inFlight.dec());
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    const status = String(reply.statusCode);
    seconds.observe({ method: request.method, route, status }, reply.elapsedTime / 1000);
    const fields = {
      requestId: request.id,
      method: request.method,
      url: request.url,
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      address: request.ip,
    };
    log.debug(fields, 'answered');
  });
}

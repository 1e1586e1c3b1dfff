/** For those who run the server: alive, ready, measured. Open to everybody: counts only, no names. */
import type { FastifyInstance } from 'fastify';

import type { HttpDeps } from './deps.ts';

export function registerOperating(
  app: FastifyInstance,
  { readiness, metrics, collectMetrics }: HttpDeps,
): void {
  app.get('/healthz', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const report = await readiness.report();
    return reply.code(report.ready ? 200 : 503).send(report);
  });
  app.get('/metrics', async (_request, reply) => {
    await collectMetrics();
    return reply.type(metrics.contentType).send(await metrics.text());
  });
}

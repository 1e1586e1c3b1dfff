/** `GET /`: a browser goes to the console, everybody else learns which APIs there are. */
import type { FastifyInstance, FastifyRequest } from 'fastify';

import { pageHeaders } from './pages.ts';
import { apiDocument } from './openapi.ts';
import { consolePage, docsPage } from './pages.ts';
import { prefers } from './prefers.ts';
import { v2Entry } from '../v2/discovery.ts';

const description =
  'Cyborg is the OpenStack project for lifecycle management of hardware accelerators, such as GPUs,FPGAs, AI chips, security accelerators, etc.';

export function registerDiscovery(app: FastifyInstance): void {
  app.get('/', async (request, reply) => {
    if (prefers(request, 'text/html')) return reply.redirect('/console/', 302);
    const v2 = v2Entry(`${request.protocol}://${request.host}`);
    reply.header('x-openstack-request-id', request.id);
    return {
      name: 'OpenStack Cyborg API',
      description,
      versions: [v2, v3Entry(request)],
      default_version: v2,
    };
  });
  app.get('/v3', async (request) => ({ version: v3Entry(request) }));
  app.get('/console/', (_request, reply) => reply.headers(pageHeaders).send(consolePage));
  app.get('/console', (_request, reply) => reply.redirect('/console/', 302));
  app.get('/v3/openapi.json', (_request, reply) =>
    reply.header('cache-control', 'public, max-age=300').send(apiDocument()),
  );
  app.get('/v3/docs', (_request, reply) => reply.headers(pageHeaders).send(docsPage()));
}

interface V3Entry {
  readonly id: 'v3';
  readonly status: 'CURRENT';
  readonly links: readonly { readonly rel: string; readonly href: string }[];
}

/** What `GET /` says of the v3 API, and `GET /v3` alone. */
function v3Entry(request: FastifyRequest): V3Entry {
  return { id: 'v3', status: 'CURRENT', links: links(request) };
}

function links({ protocol, host }: FastifyRequest): { rel: string; href: string }[] {
  const base = `${protocol}://${host}`;
  return [
    { rel: 'self', href: `${base}/v3` },
    { rel: 'describedby', href: `${base}/v3/openapi.json` },
    { rel: 'help', href: `${base}/v3/docs` },
  ];
}

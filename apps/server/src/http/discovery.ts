/** `GET /`: a browser goes to the console, everybody else learns which APIs there are. */
import type { FastifyInstance } from 'fastify';

import { baseUrl } from './base-url.ts';
import type { HttpDeps } from './deps.ts';
import { pageHeaders } from './pages.ts';
import { apiDocument } from './openapi.ts';
import { docsPage } from './pages.ts';
import { prefers } from './prefers.ts';
import { v2Entry } from '../v2/discovery.ts';

const description =
  'Cyborg is the OpenStack project for lifecycle management of hardware accelerators, such as GPUs,FPGAs, AI chips, security accelerators, etc.';

export function registerDiscovery(app: FastifyInstance, deps: Pick<HttpDeps, 'publicUrl'>): void {
  app.get('/', async (request, reply) => {
    if (prefers(request, 'text/html')) return reply.redirect('/console/', 302);
    const base = baseUrl(deps, request);
    const v2 = v2Entry(base);
    reply.header('x-openstack-request-id', request.id);
    return {
      name: 'OpenStack Cyborg API',
      description,
      versions: [v2, v3Entry(base)],
      default_version: v2,
    };
  });
  app.get('/v3', async (request) => ({ version: v3Entry(baseUrl(deps, request)) }));
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
function v3Entry(base: string): V3Entry {
  return { id: 'v3', status: 'CURRENT', links: links(base) };
}

function links(base: string): { rel: string; href: string }[] {
  return [
    { rel: 'self', href: `${base}/v3` },
    { rel: 'describedby', href: `${base}/v3/openapi.json` },
    { rel: 'help', href: `${base}/v3/docs` },
  ];
}

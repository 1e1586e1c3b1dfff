/** Where links begin: scheme and host, with what stands before our own paths when a proxy puts something there. */
import type { FastifyRequest } from 'fastify';

import type { HttpDeps } from './deps.ts';

/** What the client used: behind a proxy that is trusted, its X-Forwarded-Proto and X-Forwarded-Host say so. */
export function baseUrl(
  { publicUrl }: Pick<HttpDeps, 'publicUrl'>,
  { protocol, host }: FastifyRequest,
): string {
  return publicUrl?.replace(/\/+$/, '') ?? `${protocol}://${host}`;
}

/** A reason not to take it, for the option. */
export function refusePublicUrl(value: string): string | undefined {
  const url = URL.parse(value);
  const isPlain =
    url !== null &&
    ['http:', 'https:'].includes(url.protocol) &&
    `${url.username}${url.password}${url.search}${url.hash}` === '';
  return isPlain ? undefined : 'an http:// or https:// URL, such as https://cloud.example';
}

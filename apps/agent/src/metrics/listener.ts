/** Where Prometheus asks this agent. It never keeps the agent from its work: an address that is taken is tried again. */
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { Clock } from '@cyborg/service/clock';
import { messageOf } from '../hypervisors/node-error.ts';
import type { Log } from '../log.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
}

export interface MetricsListenerDeps {
  readonly address: ListenAddress;
  readonly contentType: string;
  readonly text: () => Promise<string>;
  readonly clock: Clock;
  readonly log: Log;
}

const retryMs = 60_000;
const connectionsMax = 16;
const requestTimeoutMs = 10_000;

/** Undefined when it is no `ADDRESS:PORT`; IPv6 in brackets. */
export function parseListen(text: string): ListenAddress | undefined {
  const [, ipv6, plain, digits] =
    /^(?:\[([0-9a-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/i.exec(text) ?? [];
  const host = ipv6 ?? plain;
  const port = Number(digits);
  return host === undefined || !(port <= 65_535) ? undefined : { host, port };
}

/** Listens until the signal ends it. */
export async function listenForMetrics(
  deps: MetricsListenerDeps,
  signal: AbortSignal,
): Promise<void> {
  const { address, clock, log } = deps;
  const where = `${address.host}:${address.port}`;
  while (!signal.aborted) {
    const server = makeServer(deps);
    const end = (): void => {
      server.close();
      server.closeAllConnections();
    };
    signal.addEventListener('abort', end, { once: true });
    try {
      server.listen(address);
      await once(server, 'listening', { signal });
      const bound = server.address();
      const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
      log.info({ host: address.host, port }, 'serving metrics');
      await once(server, 'close');
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ where, reason: messageOf(error) }, 'metrics cannot be served there; trying again');
      await clock.sleep(retryMs, signal).catch(() => undefined);
    } finally {
      signal.removeEventListener('abort', end);
    }
  }
}

function makeServer({ contentType, text, log }: MetricsListenerDeps): Server {
  const server = createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
    const path = request.url?.split('?', 1)[0];
    if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('There is GET /metrics.\n');
      return;
    }
    text().then(
      (body) => {
        response.writeHead(200, { 'content-type': contentType, 'cache-control': 'no-store' });
        response.end(body);
      },
      (error: unknown) => {
        log.warn({ reason: messageOf(error) }, 'metrics could not be read');
        response.writeHead(500).end();
      },
    );
  });
  server.maxConnections = connectionsMax;
  return server;
}

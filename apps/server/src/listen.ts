/** Several addresses, one application. */
import http from 'node:http';
import https from 'node:https';
import type { RequestListener } from 'node:http';

import type { FastifyInstance, FastifyServerFactory } from 'fastify';

import type { ListenAddress } from './listen-rules.ts';
import type { TlsPair } from './tls-pair.ts';

export interface Listening {
  /** With the ports that were given for 0. */
  readonly urls: readonly string[];
  /** Takes nothing new, lets requests in flight finish, ends long polls and streams. */
  stop(): Promise<void>;
}

export interface Listener {
  /** For fastify: its own server, which is the first one of ours. */
  readonly factory: FastifyServerFactory;
  /** @throws naming the address that cannot be had. */
  listen(app: FastifyInstance, addresses: readonly ListenAddress[]): Promise<Listening>;
}

const timeouts = { keepAliveTimeout: 72_000, headersTimeout: 30_000, requestTimeout: 60_000 };
const connectionsMax = 16_384;

export function makeListener(secure: TlsPair | undefined): Listener {
  const scheme = secure === undefined ? 'http' : 'https';
  const makeServer = (handler: RequestListener): http.Server => {
    const server =
      secure === undefined
        ? http.createServer(timeouts, handler)
        : https.createServer({ ...secure, ...timeouts, minVersion: 'TLSv1.2' }, handler);
    server.maxConnections = connectionsMax;
    return server;
  };
  let handle: RequestListener | undefined;
  return {
    factory: (handler) => {
      handle = (request, response) => handler(request, response);
      return makeServer(handle);
    },
    async listen(app, addresses) {
      await app.ready();
      if (handle === undefined) throw new TypeError('The application has no server of ours.');
      const servers: http.Server[] = [];
      try {
        for (const address of addresses) {
          const server = makeServer(handle);
          // The application's own server has its handler for what is no request.
          server.on('clientError', (error, socket) => {
            app.server.emit('clientError', error, socket);
          });
          await bind(server, address);
          servers.push(server);
        }
      } catch (error) {
        await Promise.all(servers.map(close));
        throw error;
      }
      return {
        urls: servers.map((server, index) => urlOf(server, addresses[index], scheme)),
        async stop() {
          const closed = servers.map(close);
          await app.close();
          await Promise.all(closed);
        },
      };
    },
  };
}

function bind(server: http.Server, { host, port }: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(error, `${host}:${port}`)));
    server.listen({ host, port }, resolve);
  });
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'something else listens there already; stop it, or choose another with --listen',
  EACCES: 'the port may only be used by root; choose one above 1023',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'the name has no address',
};

function cannotListen(error: Error, place: string): Error {
  const code = 'code' in error ? String(error.code) : '';
  return new Error(`Cannot listen on ${place}: ${reasons[code] ?? error.message}.`, {
    cause: error,
  });
}

function close(server: http.Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

function urlOf(server: http.Server, given: ListenAddress | undefined, scheme: string): string {
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : given?.port;
  const host = given?.host ?? 'localhost';
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

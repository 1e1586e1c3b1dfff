/** Stands before our server and vouches for every request with Nova's service token, as Nova does for its own. */
import { once } from 'node:events';
import http from 'node:http';

import { labSettings, sessionOf } from './lab.ts';

export interface VouchingRelay extends AsyncDisposable {
  /** Where v2 is, instead of the catalogue's address. */
  readonly url: string;
}

export async function startVouchingRelay(): Promise<VouchingRelay> {
  const { hostname, port, pathname } = new URL(labSettings().accelerator);
  const session = sessionOf('nova');
  const server = http.createServer((request, response) => {
    void forward().catch(() => response.destroy());
    async function forward(): Promise<void> {
      const headers = { ...request.headers, 'x-service-token': (await session.signIn()).id };
      const { method, url: path } = request;
      const far = http.request({ hostname, port, method, path, headers, agent: false });
      far.on('error', () => response.destroy());
      far.on('response', (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      request.pipe(far);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the relay has no port');
  return {
    url: `http://127.0.0.1:${address.port}${pathname}`,
    async [Symbol.asyncDispose]() {
      session[Symbol.dispose]();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** For tests: a real HTTP server that is Keystone and one more service, and can fail in every way. */
import http from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { systemClock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';

import type { Credentials } from './keystone/credentials.ts';
import { openSession } from './session.ts';
import type { Session, SessionOptions } from './session.ts';

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Handler = (request: Seen, response: ServerResponse, message: IncomingMessage) => void;

export interface TestServices extends AsyncDisposable {
  readonly url: string;
  /** Everything but sign-ins. */
  readonly seen: Seen[];
  readonly signIns: Seen[];
  /** Seconds that the tokens made from now on are valid. */
  tokenSeconds: number;
  /** Answers sign-ins instead of making a token. */
  signIn: Handler | undefined;
  /** One request each, in order; the last one answers the rest. */
  handlers: Handler[];
}

export async function startTestServices(...handlers: Handler[]): Promise<TestServices> {
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      answer({ method, path: url, headers, body }, response, request);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  const url = `http://127.0.0.1:${address.port}`;
  const services: TestServices = {
    url,
    seen: [],
    signIns: [],
    tokenSeconds: 3600,
    signIn: undefined,
    handlers,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const answer: Handler = (request, response, message) => {
    if (request.method === 'POST' && request.path === '/v3/auth/tokens') {
      services.signIns.push(request);
      const headers = { 'x-subject-token': `token-${services.signIns.length}` };
      const made = json(201, { token: testToken(url, services.tokenSeconds) }, headers);
      return (services.signIn ?? made)(request, response, message);
    }
    services.seen.push(request);
    const handler = services.handlers.length > 1 ? services.handlers.shift() : services.handlers[0];
    (handler ?? json(500, {}))(request, response, message);
  };
  return services;
}

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Handler {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(body === undefined ? '' : JSON.stringify(body));
  };
}

/** Neither answers nor hangs up. */
export const silence: Handler = () => undefined;
export const cutOff: Handler = (_request, _response, message) => void message.socket.destroy();

export function testToken(url: string, seconds: number, more: object = {}): object {
  const types = ['compute', 'placement', 'image', 'accelerator'];
  const issued = new Date('2030-01-01T00:00:00Z');
  return {
    issued_at: issued.toISOString(),
    expires_at: new Date(issued.getTime() + seconds * 1000).toISOString(),
    user: { id: 'u1', name: 'cyborg', domain: { id: 'default', name: 'Default' } },
    project: { id: 'p1', name: 'service' },
    roles: [{ id: 'r1', name: 'admin' }],
    catalog: types.map((type) => ({
      type,
      endpoints: [{ interface: 'public', region_id: 'one', url: `${url}/${type}` }],
    })),
    ...more,
  };
}

export const testCredentials: Credentials = {
  kind: 'password',
  user: { name: 'cyborg', domain: { name: 'Default' } },
  password: 'a secret that no message has',
  scope: { kind: 'project', project: { name: 'service', domain: { name: 'Default' } } },
};

/** With the process's own time, and short pauses. */
export function openTestSession(
  { url }: TestServices,
  { limits, ...more }: Partial<SessionOptions> = {},
): Session {
  return openSession({
    authUrl: url,
    credentials: testCredentials,
    clock: systemClock,
    rng: systemRng,
    limits: { retryFirstMs: 1, retryMaxMs: 5, ...limits },
    ...more,
  });
}

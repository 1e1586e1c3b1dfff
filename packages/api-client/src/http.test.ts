import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterEach, describe, expect, it } from 'vitest';

import { createAgentClient } from './agent.ts';
import { ApiError, ConnectionError } from './errors.ts';
import { createHttpClient, type HttpClient, type HttpClientOptions } from './http.ts';
import type { ClientClock } from './retry.ts';
import { all, createV3Client } from './v3.ts';

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A real server; `handlers` answer one request each, in order, and the last one the rest. */
async function serve(...handlers: Handler[]): Promise<{ url: string; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const server = http.createServer((request, response) => {
    seen.push(request);
    const handler = handlers.length > 1 ? handlers.shift() : handlers[0];
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => handler?.(request, response, body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${portOf(server)}`, seen };
}

function portOf(server: http.Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const { port }: AddressInfo = address;
  return port;
}

/** Time passes only by sleeping. */
function steppedClock(): ClientClock & { slept: number[] } {
  const slept: number[] = [];
  return {
    slept,
    monotonicMs: () => slept.reduce((sum, ms) => sum + ms, 0),
    sleep: async (ms) => void slept.push(ms),
  };
}

function connect(url: string, more: Partial<HttpClientOptions> = {}): HttpClient {
  const client = createHttpClient({
    baseUrl: url,
    auth: { kind: 'none' },
    clock: steppedClock(),
    ...more,
  });
  cleanups.push(() => client.close());
  return client;
}

const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Handler =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  };
const problem = (status: number, more: object, headers: Record<string, string> = {}): Handler =>
  json(
    status,
    { type: 'urn:x', title: 'T', status, code: 'c', detail: 'd', instance: 'r-1', ...more },
    { 'content-type': 'application/problem+json', ...headers },
  );
const breakOff: Handler = (request) => request.socket.destroy();
const get = { method: 'GET', path: '/x' };

describe('createHttpClient', () => {
  it('sends method, path under the base, query, credentials and a JSON body', async () => {
    let sentBody = '';
    const { url, seen } = await serve((request, response, body) => {
      sentBody = body;
      json(200, { ok: true })(request, response, body);
    });
    const client = connect(`${url}/accelerator/`, {
      auth: { kind: 'basic', user: 'ann', password: 'pä:ss' },
    });

    const answer = await client.request({
      method: 'POST',
      path: '/v3/x',
      query: { a: [1, 2], b: undefined, c: true },
      body: { name: 'ü' },
    });

    expect(answer).toMatchObject({ status: 200, body: { ok: true } });
    expect(seen[0]?.method).toBe('POST');
    expect(seen[0]?.url).toBe('/accelerator/v3/x?a=1&a=2&c=true');
    expect(seen[0]?.headers.authorization).toBe(
      `Basic ${Buffer.from('ann:pä:ss').toString('base64')}`,
    );
    expect(JSON.parse(sentBody)).toEqual({ name: 'ü' });
  });

  it('gives null for an empty answer and text for what is not JSON', async () => {
    const { url } = await serve(
      (_request, response) => void response.writeHead(204).end(),
      (_request, response) => void response.end('metrics'),
    );
    const client = connect(url);
    expect((await client.request(get)).body).toBeNull();
    expect((await client.request(get)).body).toBe('metrics');
  });

  it('turns a problem into an ApiError with its further members', async () => {
    const { url } = await serve(problem(404, { code: 'host-not-found', nearest: ['node-1'] }));
    await expect(connect(url).request(get)).rejects.toMatchObject({
      name: 'ApiError',
      status: 404,
      code: 'host-not-found',
      detail: 'd',
      requestId: 'r-1',
      extra: { nearest: ['node-1'] },
    });
  });

  it('makes an ApiError of an error page that is no problem document', async () => {
    const { url } = await serve((_request, response) => {
      response.writeHead(500, { 'content-type': 'text/html' }).end('<h1>nginx</h1>');
    });
    await expect(connect(url).request(get)).rejects.toMatchObject({
      code: 'http-500',
      detail: '500 Internal Server Error',
    });
  });

  it('waits as long as Retry-After asks before it tries again', async () => {
    const { url, seen } = await serve(
      problem(503, {}, { 'retry-after': '3' }),
      json(200, 'done', {}),
    );
    const clock = steppedClock();
    expect((await connect(url, { clock }).request(get)).body).toBe('done');
    expect(seen).toHaveLength(2);
    expect(clock.slept[0]).toBeGreaterThanOrEqual(3000);
  });

  it('gives up within its ten seconds', async () => {
    const { url, seen } = await serve(breakOff);
    const clock = steppedClock();
    await expect(connect(url, { clock }).request(get)).rejects.toMatchObject({ failure: 'lost' });
    expect(clock.monotonicMs()).toBeLessThanOrEqual(10_000);
    expect(seen.length).toBeGreaterThan(3);
  });

  it('repeats a lost POST only when it carries an Idempotency-Key', async () => {
    const { url, seen } = await serve(breakOff, json(202, 'kept'));
    const post = { method: 'POST', path: '/x', body: {} };
    await expect(connect(url).request(post)).rejects.toBeInstanceOf(ConnectionError);
    expect(seen).toHaveLength(1);

    const again = await serve(breakOff, json(202, 'kept'));
    const keyed = { ...post, headers: { 'idempotency-key': 'k1' } };
    expect((await connect(again.url).request(keyed)).body).toBe('kept');
    expect(again.seen.map((request) => request.headers['idempotency-key'])).toEqual(['k1', 'k1']);
  });

  it('asks again while the first request with its key is still running', async () => {
    const { url } = await serve(
      problem(409, { code: 'idempotency-running' }, { 'retry-after': '1' }),
      json(202, 'first answer'),
    );
    const keyed = { method: 'POST', path: '/x', headers: { 'idempotency-key': 'k' } };
    expect((await connect(url).request(keyed)).body).toBe('first answer');
  });

  it('names a refused connection, and a host without an address', async () => {
    const { url } = await serve();
    const port = Number(new URL(url).port);
    for (const cleanup of cleanups.splice(0)) cleanup();
    await expect(connect(`http://127.0.0.1:${port}`).request(get)).rejects.toMatchObject({
      failure: 'refused',
    });
    await expect(connect('http://no-such-host.invalid').request(get)).rejects.toMatchObject({
      failure: 'unresolvable',
    });
  });

  it('does not wait longer than the time limit, and does not try again', async () => {
    const { url, seen } = await serve(() => undefined);
    await expect(connect(url, { timeoutMs: 1_500 }).request(get)).rejects.toMatchObject({
      failure: 'timeout',
    });
    expect(seen).toHaveLength(1);
  });

  it('rejects with the reason of the caller who aborts', async () => {
    const { url } = await serve(() => undefined);
    const reason = new Error('user pressed Ctrl-C');
    const request = connect(url).request({ ...get, signal: AbortSignal.abort(reason) });
    await expect(request).rejects.toBe(reason);
  });

  it('reads no more than its limit of an answer, and refuses broken JSON', async () => {
    const { url } = await serve(json(200, 'x'.repeat(2000)), (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{');
    });
    const client = connect(url, { responseBytesMax: 1000 });
    await expect(client.request(get)).rejects.toMatchObject({ failure: 'too-large' });
    await expect(client.request(get)).rejects.toMatchObject({ failure: 'malformed' });
  });

  it('uses one connection for requests that follow each other', async () => {
    const { url, seen } = await serve(json(200, {}));
    const client = connect(url);
    await client.request(get);
    await client.request(get);
    expect(new Set(seen.map((request) => request.socket.remotePort)).size).toBe(1);
  });

  it('refuses a base URL that is none', () => {
    expect(() => connect('127.0.0.1:6680')).toThrow(
      "'127.0.0.1:6680' is no http:// or https:// URL.",
    );
  });
});

describe('stream', () => {
  const collect = async (client: HttpClient, idleTimeoutMs = 5000): Promise<unknown[]> => {
    const events: unknown[] = [];
    for await (const event of client.stream({ path: '/x', idleTimeoutMs })) events.push(event);
    return events;
  };
  const sse =
    (...pieces: string[]): Handler =>
    (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const piece of pieces) {
        if (piece === 'cut') response.socket?.destroySoon();
        else response.write(piece);
      }
      if (!pieces.includes('cut')) response.end();
    };

  it('parses events across chunks, line ends and comments', async () => {
    const { url, seen } = await serve(
      sse(
        ': alive\n',
        'id: 7\r\nevent: opera',
        'tion\r\ndata: {"a":\r',
        '\ndata: 1}\r\n\r\n',
        'data:x\n\n',
      ),
    );
    expect(await collect(connect(url))).toEqual([
      { event: 'operation', data: '{"a":\n1}', id: '7' },
      { event: 'message', data: 'x', id: '7' },
    ]);
    expect(seen[0]?.headers.accept).toBe('text/event-stream');
  });

  it('throws when it breaks off, falls silent, or is refused', async () => {
    const broken = await serve(sse('data: 1\n\n', 'cut'));
    await expect(collect(connect(broken.url))).rejects.toMatchObject({ failure: 'lost' });
    const silent = await serve((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
    });
    await expect(collect(connect(silent.url), 50)).rejects.toMatchObject({ failure: 'timeout' });
    const refused = await serve(problem(404, {}));
    await expect(collect(connect(refused.url))).rejects.toBeInstanceOf(ApiError);
    const page = await serve(json(200, {}));
    await expect(collect(connect(page.url))).rejects.toMatchObject({ failure: 'malformed' });
  });
});

describe('createV3Client', () => {
  it('fills the path, and types what comes back', async () => {
    const { url, seen } = await serve(json(200, { name: 'a/b' }));
    const client = createV3Client(connect(url));
    const host = await client.showHost({ params: { host: 'a/b' } });
    expect(host.name).toBe('a/b');
    expect(seen[0]?.url).toBe('/v3/hosts/a%2Fb');
  });

  it('does not send a request with an empty name in its path', async () => {
    const client = createV3Client(connect('http://127.0.0.1:1'));
    await expect(client.showHost({ params: { host: '' } })).rejects.toThrow("needs 'host'");
  });

  it('follows a list over all its pages', async () => {
    const { url, seen } = await serve(
      json(200, { items: [{ name: 'a' }, { name: 'b' }], next: 'm1' }),
      json(200, { items: [{ name: 'c' }], next: null }),
    );
    const client = createV3Client(connect(url));
    const names: string[] = [];
    for await (const host of all(client.listHosts, { query: { state: 'up' } })) {
      names.push(host.name);
    }
    expect(names).toEqual(['a', 'b', 'c']);
    expect(seen.map((request) => request.url)).toEqual([
      '/v3/hosts?limit=1000&state=up',
      '/v3/hosts?limit=1000&state=up&marker=m1',
    ]);
  });
});

describe('createAgentClient', () => {
  it('speaks the agent API with the typed body', async () => {
    const { url, seen } = await serve(json(200, { wanted: [] }));
    const client = createAgentClient(connect(url, { auth: { kind: 'bearer', token: 't' } }));
    const answer = await client.offerInventories({
      body: { instance: 'i', ledger: { id: 'l', incarnation: 1 }, backends: [] },
    });
    expect(answer.wanted).toEqual([]);
    expect(seen[0]?.url).toBe('/agent/v1/inventories');
    expect(seen[0]?.headers.authorization).toBe('Bearer t');
  });
});

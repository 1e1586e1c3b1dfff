/** Nonsense against a running server with a real fleet behind it: 4xx, never 5xx, and the ledger as it was. */
import { request as httpRequest } from 'node:http';

import { v3Operations } from '@cyborg/api-spec/v3';
import { eventually } from '@cyborg/testing/processes';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { Fleet, actMs } from './fleet.ts';
import { settled } from './settled.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
}

const operations = Object.entries(v3Operations);
const injections = [
  "'; drop table accelerator; --",
  "1' or '1'='1",
  "x'); delete from attachment; --",
];
const tables = ['accelerator', 'attachment', 'backend', 'host', 'instance', 'device', 'driver'];
const tenMegabytes = 10 * 1024 * 1024;

let fleet: Fleet;
let vm: string;
beforeAll(async () => {
  fleet = await Fleet.open();
  await fleet.startServer();
  await fleet.addHosts(['host-1']);
  await fleet.installVirtual(['host-1'], { crypto: 2, entropy: 0 });
  vm = await fleet.instance('host-1');
  await fleet.attach(vm);
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

interface Sent {
  readonly body?: string | Buffer;
  readonly type?: string;
}

/** A refusal comes before a long body is sent, and its connection ends: the answer may be lost with it. */
function send(method: string, path: string, sent: Sent = {}): Promise<Answer> {
  return eventually(() => sendOnce(method, path, sent), {
    timeoutMs: actMs,
    what: `${method} ${path} is answered`,
  });
}

/** As raw as it gets: our client would not send most of this. */
function sendOnce(
  method: string,
  path: string,
  { body, type = 'application/json' }: Sent,
): Promise<Answer | undefined> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': type };
    const request = httpRequest(`${fleet.url}${path}`, { method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
      );
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') reject(error);
    });
    request.on('close', () => resolve(undefined));
    request.end(body);
  });
}

function pathOf(url: string, value: string): string {
  return url.replaceAll(/:([a-z_]+)/g, encodeURIComponent(value));
}

function keysOf(schema: object, part: string): string[] {
  const given: unknown = Reflect.get(schema, part);
  if (typeof given !== 'object' || given === null) return [];
  const properties: unknown = Reflect.get(given, 'properties');
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : [];
}

async function countRows(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const table of tables) {
    const { rows } = await sql<{
      n: number;
    }>`select count(*)::int as n from ${sql.table(table)}`.execute(fleet.db);
    counts[table] = rows[0]?.n ?? -1;
  }
  return counts;
}

describe('bad input to a running server', () => {
  it('of 10 MB, broken, of the wrong type or of another media type is 4xx', async ({ expect }) => {
    const before = await countRows();
    const attach = `/v3/instances/${vm}/attachments`;
    const big = Buffer.alloc(tenMegabytes, 0x20);
    expect(await send('POST', attach, { body: big })).toMatchObject({ status: 413 });
    expect(await send('POST', attach, { body: '{"count": 1' })).toMatchObject({ status: 400 });
    expect(await send('POST', attach, { body: '[]' })).toMatchObject({ status: 400 });
    const wrongTypes = ['{"count":"many"}', '{"count":-1}', '{"accelerator":7}', '{"x":1}', 'null'];
    for (const body of wrongTypes) {
      expect(await send('POST', attach, { body }), body).toMatchObject({ status: 400 });
    }
    const media = await send('POST', attach, { body: '<a/>', type: 'text/xml' });
    expect(media.status).toBe(415);
    expect(await countRows()).toEqual(before);
  });

  it('with SQL in every string of every route is never 5xx and leaves the ledger intact', async ({
    expect,
  }) => {
    const before = await countRows();
    const bad: string[] = [];
    const check = async (method: string, path: string, body?: string): Promise<void> => {
      const answer = await send(method, path, body === undefined ? {} : { body });
      if (answer.status >= 500)
        bad.push(`${method} ${path} ${body} → ${answer.status}: ${answer.body}`);
    };
    for (const [, { method, url, schema }] of operations) {
      for (const text of injections) {
        const path = pathOf(url, text);
        await check(method, path, method === 'GET' ? undefined : '{}');
        // Only what is asked, not what is ordered: a filter that holds SQL must not widen an act.
        if (method === 'GET') {
          for (const key of keysOf(schema, 'querystring')) {
            await check(method, `${path}?${key}=${encodeURIComponent(text)}`);
          }
        }
        for (const key of keysOf(schema, 'body')) {
          await check(method, path, JSON.stringify({ [key]: text }));
          await check(method, path, JSON.stringify({ [key]: [{ name: text, [text]: text }] }));
        }
      }
    }
    expect(bad).toEqual([]);
    expect(await countRows()).toEqual(before);
    await settled(fleet);
  });

  it('that names what there is not is 404, with the name and the nearest that there are', async ({
    expect,
  }) => {
    const cases: readonly (readonly [string, string, string, string])[] = [
      ['GET', '/v3/drivers/generik', 'generik', 'generic'],
      ['GET', '/v3/hosts/host-2', 'host-2', 'host-1'],
      ['GET', '/v3/backends/host-1%40sofd', 'sofd', 'soft'],
      ['GET', '/v3/instances/host-1-wm', 'host-1-wm', 'host-1-vm'],
    ];
    for (const [method, path, name, nearest] of cases) {
      const { status, body } = await send(method, path);
      expect(status, path).toBe(404);
      expect(body, path).toContain(name);
      expect(body, path).toContain(nearest);
    }
    const [accelerator] = await fleet.accelerators();
    const wrong = `${accelerator?.id.slice(0, -1)}${accelerator?.id.endsWith('0') ? '1' : '0'}`;
    const { status, body } = await send('GET', `/v3/accelerators/${wrong}`);
    expect(status).toBe(404);
    expect(body).toContain(wrong);
  });
});

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { makeTestDeps } from '@cyborg/conductor/test-deps';
import { recordEvents } from '@cyborg/conductor/record-event';
import { act } from '@cyborg/conductor/transaction';
import { systemClock } from '@cyborg/service/clock';
import { connect } from '@cyborg/store/connect';
import { startEmbeddedPostgres } from '@cyborg/store/embedded/start';
import { migrateToLatest } from '@cyborg/store/migrate';
import { openEmptyDatabase, openTestDatabase } from '@cyborg/testing/database';
import { makeTempFolder } from '@cyborg/testing/embedded';
import { quietLog } from '@cyborg/testing/log';
import { eventually, startProgram } from '@cyborg/testing/processes';
import type { RunningProgram } from '@cyborg/testing/processes';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { basicAuth, writeTestUsers } from './test-app.ts';

let folder: string;
let usersFile: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-server-'));
  usersFile = join(folder, 'users.yaml');
  await writeTestUsers(usersFile);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Served {
  readonly program: RunningProgram;
  readonly url: string;
}

async function serve(databaseUrl: string, ...more: string[]): Promise<Served> {
  const args = [
    '--database-url',
    databaseUrl,
    '--users-file',
    usersFile,
    '--listen',
    '127.0.0.1:0',
  ];
  const program = startProgram('server', { args: [...args, ...more] });
  const url = await eventually(() => /"urls":\["([^"]+)"/.exec(program.output())?.[1], {
    timeoutMs: 60_000,
    what: 'the server listens',
    context: () => program.output(),
  });
  return { program, url };
}

const headers = { authorization: basicAuth('admin') };

async function refusal(...args: string[]): Promise<{ status: number | string; output: string }> {
  await using program = startProgram('server', { args });
  return { status: await program.ended, output: program.output() };
}

/** Sends bytes as they are; the answer to its end. */
async function sendRaw(url: string, text: string): Promise<{ head: string; body: string }> {
  const { hostname, port } = new URL(url);
  const socket = connectSocket({ host: hostname, port: Number(port) });
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.write(text);
  await once(socket, 'close');
  const [head = '', body = ''] = Buffer.concat(chunks).toString('utf8').split('\r\n\r\n');
  return { head, body };
}

describe('cyborg-server', { timeout: 300_000 }, () => {
  it('migrates an empty database, becomes ready, answers and stops in order', async ({
    expect,
  }) => {
    await using database = await openEmptyDatabase();
    const { program, url } = await serve(database.url);
    await using _program = program;
    await eventually(async () => (await fetch(`${url}/readyz`)).status === 200, {
      timeoutMs: 60_000,
      what: 'ready',
      context: () => program.output(),
    });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const drivers = await (await fetch(`${url}/v3/drivers`, { headers })).json();
    expect(drivers).toMatchObject({ items: [{ id: 'fake' }, { id: 'generic' }, { id: 'spdk' }] });
    for (const figure of [
      'cyborg_http_request_duration_seconds_count{method="GET",route="/v3/drivers"',
      'cyborg_reconciler_pass_duration_seconds_count',
    ]) {
      await eventually(
        async () => (await (await fetch(`${url}/metrics`)).text()).includes(figure),
        {
          timeoutMs: 60_000,
          what: figure,
        },
      );
    }
    expect(await program.end('SIGTERM')).toBe(0);
    const { db } = connect({ url: database.url, log: quietLog });
    expect(await db.selectFrom('replica').selectAll().execute()).toEqual([]);
    await db.destroy();
  });

  it('lets two of them start on one empty database at once', async ({ expect }) => {
    await using database = await openEmptyDatabase();
    const [one, two] = await Promise.all([
      serve(database.url),
      serve(database.url, '--role', 'api'),
    ]);
    await using _one = one.program;
    await using _two = two.program;
    for (const { url } of [one, two]) {
      expect((await fetch(`${url}/v3/hosts`, { headers })).status).toBe(200);
    }
  });

  it('as a conductor answers only those who run it', async ({ expect }) => {
    await using database = await openTestDatabase();
    const { program, url } = await serve(database.url, '--role', 'conductor');
    await using _program = program;
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await fetch(`${url}/v3/hosts`, { headers })).status).toBe(404);
  });

  it('ends streams and long polls and finishes a request in flight when it is stopped', async ({
    expect,
  }) => {
    await using database = await openTestDatabase();
    const { program, url } = await serve(database.url);
    await using _program = program;
    const stream = await fetch(`${url}/v3/events`, {
      headers: { ...headers, accept: 'text/event-stream' },
    });
    expect(stream.headers.get('content-type')).toContain('text/event-stream');
    const streamed = stream.text();
    const slow = slowPost(url);
    await slow.begun;
    const stopped = program.end('SIGTERM');
    await eventually(() => program.output().includes('shutting down'), {
      timeoutMs: 60_000,
      what: 'shutting down',
    });
    slow.finish();
    expect(await slow.status).toBe(201);
    await streamed;
    expect(await stopped).toBe(0);
  });

  it.for([
    [['--role', 'boss'], '--role: "boss" is not allowed; it must be one of api, conductor, all'],
    [['--listen', 'nowhere'], '--listen'],
    [['--listen', '0.0.0.0:0', '--users-file', 'x'], 'is not loopback'],
    [['--auth', 'none'], 'There is no database: give --database-url, or --state-dir'],
    [['--database-url', 'postgresql://x'], 'There is no users file: give --users-file'],
    [
      ['--users-file', '/nonexistent/users.yaml', '--state-dir', '/tmp/x'],
      '--users-file: The users file cannot be read',
    ],
    [['--attach-deadlin', '5'], 'nearest that exist are --attach-deadline'],
    [['--body-limit', '12'], '--body-limit: "12" is not allowed'],
    [['serve'], 'There is no command "serve"'],
  ] as const)('refuses to start with %j and says why', async ([args, reason], { expect }) => {
    const { status, output } = await refusal(...args);
    expect(output).toContain(reason);
    expect(output.trim().split('\n')).toHaveLength(1);
    expect(status).toBe(2);
  });

  it('says in one line that the database or the address cannot be had', async ({ expect }) => {
    const away = await refusal('--auth', 'none', '--database-url', 'postgresql://u@127.0.0.1:1/x');
    expect(away.output).toContain('The database cannot be used');
    expect(away.status).toBe(1);
    await using database = await openTestDatabase();
    const { program, url } = await serve(database.url);
    await using _program = program;
    const taken = new URL(url).host;
    const second = await refusal(
      '--auth',
      'none',
      '--database-url',
      database.url,
      '--listen',
      taken,
    );
    expect(second.output).toContain(
      `Cannot listen on ${taken}: something else listens there already`,
    );
    expect(second.status).toBe(1);
  });

  it('says in one line that its database is of another build, and what to do', async ({
    expect,
  }) => {
    await using database = await openTestDatabase();
    const start = ['--auth', 'none', '--database-url', database.url];
    for (const found of ['0123456789ab', 'none']) {
      await database.pool.query(
        found === 'none'
          ? 'drop table schema_fingerprint'
          : `update schema_fingerprint set fingerprint = '${found}'`,
      );
      const { output, status } = await refusal(...start);
      expect(output).toMatch(
        new RegExp(
          `^cyborg-server: The database of --database-url cannot be used: .*fingerprint ${found}, this build's is [0-9a-f]{12}.* begin anew: give an empty one\\.\n$`,
        ),
      );
      expect(status).toBe(1);
    }
    using own = makeTempFolder();
    const directory = join(own.path, 'postgres');
    const surroundings = { log: quietLog, clock: systemClock };
    const old = await startEmbeddedPostgres({ directory, ...surroundings });
    const { db } = connect({ url: old.url, log: quietLog });
    await migrateToLatest(db);
    await sql`drop table schema_fingerprint`.execute(db);
    await db.destroy();
    await old.stop();
    const { output, status } = await refusal('--auth', 'none', '--state-dir', own.path);
    const lines = output.split('\n').filter((line) => line.startsWith('cyborg-server:'));
    expect(lines).toEqual([expect.stringContaining(`The database in ${own.path} cannot be`)]);
    expect(lines[0]).toContain('give another --state-dir, or move this one away.');
    expect(output).not.toMatch(/^\s+at /m);
    expect(status).toBe(1);
  });

  it('answers what is no request with a problem, too', async ({ expect }) => {
    await using database = await openTestDatabase();
    const { program, url } = await serve(database.url);
    await using _program = program;
    const post = 'POST /v3/grants HTTP/1.1\r\nHost: x\r\n';
    const broken: readonly (readonly [string, number])[] = [
      [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
      ['GET / HTTP/1.1\r\nHost: x\r\nbroken header\r\n\r\n', 400],
      ['EHLO example.org\r\n', 400],
      [`${post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`, 400],
    ];
    for (const [text, status] of broken) {
      const { head, body } = await sendRaw(url, text);
      expect(head, text.slice(0, 80)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expect(head.toLowerCase()).toContain('content-type: application/problem+json');
      const problem: unknown = JSON.parse(body);
      expect(problem).toMatchObject({ status, instance: expect.stringMatching(/^req-/) });
    }
  });

  it('streams events from a given number on, in order and once', async ({ expect }) => {
    await using database = await openTestDatabase();
    const { program, url } = await serve(database.url);
    await using _program = program;
    const deps = makeTestDeps({ db: database.db, clock: systemClock });
    const write = (kind: `test.${string}`): Promise<void> =>
      act(deps, (running) =>
        recordEvents(running, [{ kind, subjectKind: 'test', subjectId: 'x', data: {} }]),
      );
    await write('test.first');
    const ended = new AbortController();
    const response = await fetch(`${url}/v3/events?subject_id=x`, {
      headers: { ...headers, accept: 'text/event-stream', 'last-event-id': '0' },
      signal: ended.signal,
    });
    let text = '';
    const reading = (async () => {
      for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString();
    })().catch(() => undefined);
    const has = (kind: string): Promise<boolean> =>
      eventually(() => text.includes(kind), { timeoutMs: 60_000, what: kind, context: () => text });
    await has('test.first');
    await write('test.second');
    await has('test.second');
    ended.abort();
    await reading;
    const ids = [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
    expect(ids).toHaveLength(2);
    expect(ids).toEqual(ids.toSorted((a, b) => a - b));
  });

  it('refuses a stream of what is not there like any other request', async ({ expect }) => {
    await using database = await openTestDatabase();
    const { program, url } = await serve(database.url);
    await using _program = program;
    const ask = (path: string, more: Record<string, string> = {}): Promise<Response> =>
      fetch(url + path, { headers: { ...headers, accept: 'text/event-stream', ...more } });
    const operation = await ask('/v3/operations/00000000-0000-4000-8000-000000000000');
    expect(operation.status).toBe(404);
    expect(operation.headers.get('content-type')).toContain('application/problem+json');
    expect((await ask('/v3/events', { 'last-event-id': 'x' })).status).toBe(400);
  });
});

/** A request whose body is on its way until `finish`. */
function slowPost(url: string): {
  readonly begun: Promise<void>;
  readonly status: Promise<number>;
  finish(): void;
} {
  const body = JSON.stringify({ name: 'slow', groups: [{ 'resources:PGPU': '1' }] });
  const status = Promise.withResolvers<number>();
  const request = http.request(
    `${url}/v3/device-profiles`,
    {
      method: 'POST',
      headers: {
        ...headers,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        expect: '100-continue',
      },
    },
    (response) => {
      response.resume();
      status.resolve(response.statusCode ?? 0);
    },
  );
  request.on('error', status.reject);
  request.flushHeaders();
  return {
    // The server has taken the request up when it asks for the rest.
    begun: new Promise((resolve) => request.once('continue', () => resolve())),
    status: status.promise,
    finish: () => request.end(body),
  };
}

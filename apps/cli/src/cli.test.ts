/**
 * The real process against a real HTTP server whose requests and answers are checked against the schemas of the API,
 * so that this server cannot drift from the real one.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { ProblemSchema } from '@cyborg/api-spec/common';
import { v3Routes, type V3OperationName } from '@cyborg/api-spec/routes';
import { v3Operations, type V3Result } from '@cyborg/api-spec/v3';
import { OperationSchema } from '@cyborg/api-spec/v3/operations';
import { Value } from 'typebox/value';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

interface Call {
  readonly name: V3OperationName;
  readonly params: Record<string, string>;
  readonly query: Record<string, unknown>;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}
/** Sends the operation's states as a stream; `cut` breaks the connection after them. */
interface StreamAnswer {
  readonly stream: readonly Operation[];
  readonly cut?: boolean;
  /** Keeps the connection open and says nothing more. */
  readonly hold?: boolean;
}
type Answer = { readonly status: number; readonly body: unknown } | StreamAnswer | 'hang-up';
type Handler = (call: Call) => Answer;
type Handlers = Partial<Record<V3OperationName, Handler>>;
type Operation = V3Result<'showOperation'>;

class ApiServer {
  readonly calls: Call[] = [];
  readonly violations: string[] = [];
  handlers: Handlers = {};
  readonly #server = http.createServer((request, response) => this.#read(request, response));

  async start(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return `http://127.0.0.1:${address.port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #read(request: IncomingMessage, response: ServerResponse): void {
    let text = '';
    request.on('data', (chunk) => (text += String(chunk)));
    request.on('end', () => {
      const call = this.#toCall(request, text === '' ? undefined : JSON.parse(text));
      if (call === undefined) return void response.writeHead(404).end();
      this.calls.push(call);
      this.#check(call);
      const answer = this.handlers[call.name]?.(call) ?? problem(404, 'no-such-route', 'not set');
      this.#send(call, answer, response);
    });
  }

  #toCall(request: IncomingMessage, body: unknown): Call | undefined {
    const url = new URL(request.url ?? '', 'http://x');
    for (const name of names) {
      const { method, url: template } = v3Routes[name];
      const pattern = new RegExp(`^${template.replaceAll(/:([a-z_]+)/g, '(?<$1>[^/]+)')}$`);
      const match = pattern.exec(url.pathname);
      if (method !== request.method || match === null) continue;
      const params = Object.entries(match.groups ?? {}).map(([k, v]) => [k, decodeURIComponent(v)]);
      const query: Record<string, unknown> = {};
      for (const key of url.searchParams.keys()) {
        const values = url.searchParams.getAll(key);
        query[key] = values.length > 1 ? values : values[0];
      }
      return { name, params: Object.fromEntries(params), query, headers: request.headers, body };
    }
    this.violations.push(`no route for ${request.method} ${url.pathname}`);
    return undefined;
  }

  #check({ name, params, query, body }: Call): void {
    const schema: Record<string, unknown> = v3Operations[name].schema;
    this.#validate(`${name} params`, schema['params'], params);
    this.#validate(
      `${name} query`,
      schema['querystring'],
      Value.Convert(any(schema['querystring']), query),
    );
    this.#validate(`${name} body`, schema['body'], body);
  }

  #validate(what: string, schema: unknown, value: unknown): void {
    if (schema === undefined || Value.Check(any(schema), value)) return;
    this.violations.push(
      `${what}: ${JSON.stringify(value)}: ${JSON.stringify(Value.Errors(any(schema), value)[0])}`,
    );
  }

  #send(call: Call, answer: Answer, response: ServerResponse): void {
    if (answer === 'hang-up') return void response.socket?.destroy();
    if ('stream' in answer) return this.#stream(answer, response);
    const responses: Record<string, unknown> = v3Operations[call.name].schema.response;
    const schema = answer.status >= 400 ? ProblemSchema : responses[String(answer.status)];
    this.#validate(`${call.name} answer ${answer.status}`, schema ?? false, answer.body);
    response.writeHead(answer.status, { 'content-type': 'application/json' });
    response.end(answer.status === 204 ? '' : JSON.stringify(answer.body));
  }

  #stream({ stream, cut, hold }: StreamAnswer, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    for (const [at, operation] of stream.entries()) {
      this.#validate('stream', OperationSchema, operation);
      response.write(`id: ${at}\nevent: operation\ndata: ${JSON.stringify(operation)}\n\n`);
    }
    if (cut === true) response.socket?.destroySoon();
    else if (hold !== true) response.end();
  }
}

const names = Object.keys(v3Routes).filter((name): name is V3OperationName => name in v3Operations);
const any = (schema: unknown): object =>
  typeof schema === 'object' && schema !== null ? schema : {};

// oxlint-disable-next-line max-params -- reads as the problem does
const problem = (status: number, code: string, detail: string, extra: object = {}): Answer => ({
  status,
  body: {
    type: `urn:cyborg:${code}`,
    title: code,
    status,
    code,
    detail,
    instance: 'req-1',
    ...extra,
  },
});
const ok = (body: unknown, status = 200): Answer => ({ status, body });
const page = (...items: unknown[]): Answer => ok({ items, next: null });

const id = (digit: number): string => `00000000-0000-4000-8000-00000000000${digit}`;
const at = '2026-11-22T10:00:00.000Z';
const accelerator: V3Result<'showAccelerator'> = {
  id: id(1),
  name: 'virtual-crypto-0',
  description: null,
  labels: {},
  type: 'CRYPTO',
  driver_id: 'generic',
  backend: 'virtual',
  host: 'demo-1',
  device_id: id(2),
  deployable_id: id(3),
  address: null,
  numa_node: null,
  resource_class: 'CUSTOM_CYBORG_CRYPTO',
  traits: ['CUSTOM_A', 'CUSTOM_B'],
  plans: ['virtio-crypto'],
  attach_info: {},
  iommu_group: null,
  pcie_root: null,
  resetless_reason: null,
  state: 'attached',
  reason: null,
  presence: 'present',
  absent_since: null,
  health: 'healthy',
  reserved_for: null,
  instance_id: id(5),
  project_id: 'demo',
  attachment_id: id(6),
  simulated: true,
  created_at: at,
  updated_at: null,
};
const operation: Operation = {
  id: id(7),
  kind: 'attach-instance',
  state: 'queued',
  subject: { instance_id: id(5), attachment_ids: [id(6)], accelerator_ids: [id(1)] },
  progress: { done: 0, total: 1 },
  results: [],
  error: null,
  user_id: 'u',
  project_id: 'demo',
  created_at: at,
  updated_at: null,
  finished_at: null,
};
const running: Operation = { ...operation, state: 'running' };
const succeeded: Operation = {
  ...operation,
  state: 'succeeded',
  progress: { done: 1, total: 1 },
  finished_at: at,
};

const server = { current: new ApiServer(), url: '', home: '' };
beforeEach(async () => {
  server.current = new ApiServer();
  server.url = await server.current.start();
  server.home = await mkdtemp(join(tmpdir(), 'cyborg-cli-'));
});
afterEach(() => {
  server.current.stop();
  const { violations } = server.current;
  if (violations.length > 0)
    throw new Error(`Not as the API's schemas say: ${violations.join('; ')}`);
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const launcher = resolve(import.meta.dirname, '../../../bin/cyborg');

/** Runs `cyborg` as a user would; `env` replaces what names the server; sends SIGINT at that text. */
async function cyborg(
  args: readonly string[],
  env?: Record<string, string>,
  interruptOn?: string,
): Promise<Ended> {
  const child = spawn(launcher, args, {
    env: { PATH: process.env['PATH'], HOME: server.home, ...(env ?? { CYBORG_URL: server.url }) },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 25_000,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
    if (interruptOn !== undefined && !child.killed && stderr.includes(interruptOn)) {
      child.kill('SIGINT');
    }
  });
  const code = await new Promise<number | null>((done) => child.on('close', done));
  return { code, stdout, stderr };
}

const calls = (name: V3OperationName): Call[] =>
  server.current.calls.filter((call) => call.name === name);

describe('lists', () => {
  it('print one array of all pages as json', async () => {
    server.current.handlers = {
      listAccelerators: ({ query }) =>
        query['marker'] === undefined
          ? ok({ items: [accelerator], next: 'm' })
          : page({ ...accelerator, id: id(9) }),
    };
    const { code, stdout, stderr } = await cyborg(['accelerator-list', '-f', 'json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual([accelerator, { ...accelerator, id: id(9) }]);
  });

  it('are a table that labels what is simulated, with whole ids', async () => {
    server.current.handlers = { listAccelerators: () => page(accelerator) };
    const { stdout } = await cyborg(['accelerator-list', '--type', 'crypto']);
    expect(stdout).toMatch(/\| simulated \|\n/);
    expect(stdout).toMatch(/\| demo-1 \|.*\| true {6}\|\n/);
    expect(stdout).toContain(id(1));
    expect(calls('listAccelerators')[0]?.query).toMatchObject({ type: 'CRYPTO' });
  });

  it('give chosen columns in their order, also with options before the command', async () => {
    server.current.handlers = { listAccelerators: () => page(accelerator) };
    const args = ['-f', 'value', 'accelerator-list', '-c', 'state', '-c', 'reason', '-c', 'id'];
    expect((await cyborg(args)).stdout).toBe(`attached None ${id(1)}\n`);
    const wrong = await cyborg(['accelerator-list', '-c', 'stat']);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(
      /^cyborg: There is no column 'stat'\. Nearest: state\. All: id,.*\n$/,
    );
  });

  it('find an instance by its name', async () => {
    server.current.handlers = {
      showInstance: () => ok({ ...instance, name: 'vm-1' }),
      listAccelerators: () => page(),
    };
    expect((await cyborg(['accelerator-list', '--instance', 'vm-1'])).stderr).toBe(
      'No accelerators.\n',
    );
    expect(calls('listAccelerators')[0]?.query).toMatchObject({ instance_id: id(5) });
  });
});

const instance: V3Result<'showInstance'> = {
  id: id(5),
  name: 'vm-1',
  host: 'demo-1',
  hypervisor: 'simulated',
  state: 'ACTIVE',
  project_id: null,
  project_source: null,
  plugs: [],
  numa_nodes: [],
  presence: 'present',
  attachments_total: 0,
  simulated: true,
  created_at: at,
  updated_at: null,
};

describe('attach-instance', () => {
  const attach = (args: readonly string[], answers: Handlers): Promise<Ended> => {
    server.current.handlers = {
      createAttachments: () => ok(operation, 202),
      showOperation: () => ({ stream: [running, succeeded] }),
      showAccelerator: () => ok(accelerator),
      ...answers,
    };
    return cyborg(['attach-instance', 'vm-1', ...args]);
  };

  it('waits, tells its progress on stderr, and lists what was attached', async () => {
    const { code, stdout, stderr } = await attach(['--driver', 'generic', '--count', '1'], {});
    expect(code).toBe(0);
    expect(stdout).toContain('virtual-crypto-0');
    expect(stderr.split('\n')).toEqual([
      `attach-instance ${id(7)}: queued, 0 of 1 done`,
      `attach-instance ${id(7)}: running, 0 of 1 done`,
      `attach-instance ${id(7)}: succeeded, 1 of 1 done`,
      '',
    ]);
    expect(calls('createAttachments')[0]?.body).toEqual({ driver: 'generic', count: 1 });
  });

  it('prints the finished operation, and what it attached, as one json document', async () => {
    const { stdout } = await attach(['-f', 'json'], {});
    expect(JSON.parse(stdout)).toEqual({ ...succeeded, accelerators: [accelerator] });
  });

  it('returns at once with --no-wait', async () => {
    const { code, stdout } = await attach(['--no-wait', '-f', 'json'], {});
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(operation);
    expect(calls('showOperation')).toEqual([]);
  });

  it('ends 2 with the choices when several kinds fit', async () => {
    const choices = [
      { driver: 'generic', type: 'CRYPTO', free: 4 },
      { driver: 'x', type: 'GPU', free: 1 },
    ];
    const { code, stdout, stderr } = await attach([], {
      createAttachments: () => problem(409, 'choice-needed', 'Two kinds would fit.', { choices }),
    });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toBe(
      'cyborg: Two kinds would fit. Choices: driver generic, type CRYPTO, free 4; driver x, type GPU, free 1. ' +
        'Choose with --accelerator, --profile or --driver.\n',
    );
  });

  it('says the way out of a choice once, when the server has said it', async () => {
    const detail = 'More than one kind is free: choose with --accelerator, --driver or --profile.';
    const { stderr } = await attach([], {
      createAttachments: () => problem(409, 'choice-needed', detail, { choices: [] }),
    });
    expect(stderr).toBe(`cyborg: ${detail}\n`);
  });

  it('ends 1 with the error of an operation that fails, and still prints it as json', async () => {
    const failed: Operation = { ...running, state: 'failed', error: 'demo-1 is down.' };
    const answers: Handlers = { showOperation: () => ({ stream: [failed] }) };
    const table = await attach([], answers);
    expect(table.code).toBe(1);
    expect(table.stdout).toBe('');
    expect(table.stderr.split('\n').at(-2)).toBe(
      `cyborg: Operation ${id(7)} (attach-instance) failed: demo-1 is down.`,
    );
    const json = await attach(['-f', 'json'], answers);
    expect(JSON.parse(json.stdout)).toEqual(failed);
  });

  it('repeats a lost request under one key, and goes on after a lost stream', async () => {
    const answers: Answer[] = ['hang-up', ok(operation, 202)];
    const streams: Answer[] = [
      { stream: [running], cut: true },
      'hang-up',
      { stream: [succeeded] },
    ];
    const { code } = await attach([], {
      createAttachments: () => answers.shift() ?? 'hang-up',
      showOperation: () => streams.shift() ?? 'hang-up',
    });
    expect(code).toBe(0);
    const keys = calls('createAttachments').map(({ headers }) => headers['idempotency-key']);
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('gives up after 10 s without the server, naming the operation', async () => {
    const began = performance.now();
    const { code, stderr } = await attach([], { showOperation: () => 'hang-up' });
    expect(code).toBe(1);
    expect(stderr).toContain(`while waiting for operation ${id(7)}`);
    expect(performance.now() - began).toBeLessThan(14_000);
    expect(performance.now() - began).toBeGreaterThan(8_000);
  });

  it('tells on Ctrl-C that the operation goes on', async () => {
    server.current.handlers = {
      createAttachments: () => ok(operation, 202),
      showOperation: () => ({ stream: [running], hold: true }),
    };
    const ended = await cyborg(['attach-instance', 'vm-1'], undefined, 'running');
    expect(ended.code).toBe(130);
    expect(ended.stderr).toContain(`cyborg: Operation ${id(7)} goes on.`);
  });

  it('tells with --dry-run why not, with the nearest misses, and ends 1', async () => {
    const { code, stdout, stderr } = await attach(['--dry-run'], {
      createAttachments: () =>
        ok({
          dry_run: true,
          would_succeed: false,
          changes: [],
          refusal: { code: 'no-accelerator-left', detail: 'None is free on demo-1.' },
          nearest_misses: [
            { accelerator_id: id(1), name: 'virtual-crypto-0', why_not: ['attached to vm-2'] },
          ],
        }),
    });
    expect(code).toBe(1);
    expect(stdout).toContain('attached to vm-2');
    expect(stderr).toBe('cyborg: It would be refused: None is free on demo-1.\n');
    const [call] = calls('createAttachments');
    expect(call?.query).toEqual({ dry_run: true });
    expect(call?.headers['idempotency-key']).toBeUndefined();
  });

  it('refuses two choices at once before it asks the server', async () => {
    const { code } = await attach(['--driver', 'a', '--profile', 'b'], {});
    expect(code).toBe(2);
    expect(server.current.calls).toEqual([]);
  });

  it("lets the server find an accelerator by its name on the instance's host", async () => {
    await attach(['--accelerator', 'virtual-crypto-0'], {});
    expect(calls('createAttachments')[0]?.body).toEqual({ accelerator: 'virtual-crypto-0' });
    expect(calls('listAccelerators')).toEqual([]);
  });

  it('calls a wrong field as it is typed', async () => {
    const { code, stderr } = await attach(['--profile', 'x'], {
      createAttachments: () => problem(400, 'invalid-input', 'body.profile: is wrong.', {}),
    });
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'cyborg: --profile: is wrong.\n' });
  });
});

describe('accelerator-show', () => {
  it('finds an accelerator by name, and names the nearest when there is none', async () => {
    server.current.handlers = {
      listAccelerators: () => page(accelerator),
      showAccelerator: () => ok(accelerator),
    };
    const shown = await cyborg(['accelerator-show', 'virtual-crypto-0', '-f', 'json']);
    expect(JSON.parse(shown.stdout)).toEqual(accelerator);
    const unknown = await cyborg(['accelerator-show', 'virtual-crypto-1']);
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain('the nearest: virtual-crypto-0.');
  });
});

describe('drivers', () => {
  const installed: Operation = {
    ...succeeded,
    kind: 'install-driver',
    subject: { driver_id: 'generic' },
  };

  it('are installed bare, and with one backend and its settings', async () => {
    server.current.handlers = { installDriver: () => ok(installed, 202) };
    const { code, stdout } = await cyborg(['install-driver', 'generic', '-f', 'json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(installed);
    await cyborg(
      'install-driver generic --version 1.2.0 --backend soft --kind virtual --config crypto=8 --config x=a=b --config on=true --host h1 --host h2'.split(
        ' ',
      ),
    );
    expect(calls('installDriver').map(({ body }) => body)).toEqual([
      {},
      {
        version: '1.2.0',
        backends: [
          {
            name: 'soft',
            kind: 'virtual',
            hosts: ['h1', 'h2'],
            config: { crypto: 8, x: 'a=b', on: true },
          },
        ],
      },
    ]);
  });

  it('are updated with settings of one backend', async () => {
    server.current.handlers = {
      updateDriver: () => ok({ ...installed, kind: 'update-driver' }, 202),
    };
    await cyborg('update-driver generic --backend soft --config crypto=null --batch 2'.split(' '));
    expect(calls('updateDriver')[0]?.body).toEqual({
      rollout: { batch: 2 },
      backends: [{ name: 'soft', config: { crypto: null } }],
    });
    const orphan = await cyborg('update-driver generic --config crypto=1'.split(' '));
    expect(orphan).toMatchObject({ code: 2, stderr: 'cyborg: --config needs --backend NAME.\n' });
  });

  it('are not uninstalled while in use: the users are named', async () => {
    const users = [{ instance: 'vm-1', accelerator: 'virtual-crypto-0' }];
    server.current.handlers = {
      uninstallDriver: () => problem(409, 'in-use', "Driver 'generic' is in use.", { users }),
    };
    const { code, stderr } = await cyborg(['uninstall-driver', 'generic']);
    expect(code).toBe(1);
    expect(stderr).toBe(
      "cyborg: Driver 'generic' is in use. In use by: instance vm-1, accelerator virtual-crypto-0.\n",
    );
  });
});

describe('event-list --follow', () => {
  /** The stream of events has another form than that of an operation, so it is written by hand. */
  async function follow(
    answers: ((response: ServerResponse) => void)[],
    flags: readonly string[] = [],
  ): Promise<Ended & { readonly numbers: unknown[]; readonly seen: string[] }> {
    const seen: string[] = [];
    const events = http.createServer((request, response) => {
      const { searchParams } = new URL(request.url ?? '', 'http://x');
      seen.push(`${String(request.headers['last-event-id'])} ${searchParams.get('after')}`);
      answers.shift()?.(response);
    });
    await new Promise<void>((done) => events.listen(0, '127.0.0.1', done));
    const address = events.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const fixed = ['event-list', '--follow', '--limit', '2', '-f', 'json'];
    const ended = await cyborg([...fixed, '--url', `http://127.0.0.1:${port}`, ...flags]);
    events.closeAllConnections();
    events.close();
    const lines = ended.stdout.trim().split('\n');
    return { ...ended, seen, numbers: lines.map((line) => JSON.parse(line).number) };
  }
  const sends = (number: number) => (response: ServerResponse) => {
    const nobody = { host: null, project_id: null, user_id: null };
    const event = {
      number,
      at,
      kind: 'k',
      subject_kind: 's',
      subject_id: 'x',
      ...nobody,
      data: {},
    };
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`id: ${number}\nevent: event\ndata: ${JSON.stringify(event)}\n\n`);
  };
  const forgets = (forgotten: number) => (response: ServerResponse) => {
    const code = 'event-number-forgotten';
    const told = { type: 'about:blank', title: 'Gone', status: 410, detail: 'Too old.', code };
    response.writeHead(410, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ ...told, forgotten, newest: forgotten + 9 }));
  };

  it('prints one event a line as json, and goes on after the last one it has', async () => {
    const { code, numbers, seen } = await follow([sends(1), sends(2)]);
    expect({ code, numbers }).toEqual({ code: 0, numbers: [1, 2] });
    expect(seen).toEqual(['undefined null', '1 null']);
  });

  it('goes on with the oldest that are kept when the server has forgotten some, and says so', async () => {
    const answers = [forgets(6), sends(7), forgets(20), sends(21)];
    const { code, numbers, seen, stderr } = await follow(answers, ['--after', '3']);
    expect({ code, numbers }).toEqual({ code: 0, numbers: [7, 21] });
    expect(seen).toEqual(['undefined 3', '6 null', '7 null', '20 null']);
    const gap = (number: number): string =>
      `Events up to number ${number} are older than the server keeps them, so some may be missing here: going on after ${number}.`;
    expect(stderr).toContain(gap(6));
    expect(stderr).toContain(gap(20));
  });
});

describe('the connection', () => {
  it('is found in the file that npm start writes, and credentials go nowhere else', async () => {
    server.current.handlers = { listHosts: () => page() };
    const file = join(server.home, 'client.yaml');
    await writeFile(file, `url: ${server.url}\nuser: ann\npassword: secret\n`, { mode: 0o600 });
    expect(await cyborg(['host-list'], { CYBORG_CONFIG: file })).toMatchObject({ code: 0 });
    await cyborg(['host-list', '--url', server.url.replace('127.0.0.1', 'localhost')], {
      CYBORG_CONFIG: file,
    });
    const sent = calls('listHosts').map(({ headers }) => headers.authorization);
    expect(sent).toEqual([`Basic ${Buffer.from('ann:secret').toString('base64')}`, undefined]);
  });

  it('that is refused is one line with the way out', async () => {
    server.current.stop();
    const { code, stderr } = await cyborg(['driver-list']);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^cyborg: No server answers at http:\S+ Is it running\? 'npm start'.*\n$/,
    );
  });

  it('without credentials tells how to give them', async () => {
    server.current.handlers = { listDrivers: () => problem(401, 'not-authenticated', 'Sign in.') };
    const { code, stderr } = await cyborg(['driver-list']);
    expect(code).toBe(1);
    expect(stderr).toContain('Give --user and --password');
  });
});

describe('usage errors', () => {
  it.each([
    [[], 'No command is given'],
    [['driver-lst'], "There is no command 'driver-lst'. Nearest: driver-list"],
    [['attach-instance'], "missing required argument 'instance_id'"],
    [['attach-instance', 'x', '--count', '0'], 'It must be a whole number from 1 to 64'],
    [['host-list', '--bogus'], "unknown option '--bogus'"],
    [['host-list', '-f', 'xml'], "argument 'xml' is invalid"],
    [['host-update', 'h'], 'Nothing to change'],
    [['accelerator-update', 'x', '--same-as', 'y'], 'say with --reason how you know'],
    [['accelerator-update', 'x', '--same-as', 'y', '--name', 'n'], '--same-as goes alone'],
    [['accelerator-update', 'x', '--sha256', 'ab'], 'give --program'],
    [['install-driver', 'g', '--backend', 'b', '--config', 'novalue'], 'is not KEY=VALUE'],
  ])('%j ends 2 with one line', async (args, message) => {
    const { code, stdout, stderr } = await cyborg(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr.match(/\n/g)).toHaveLength(1);
  });
});

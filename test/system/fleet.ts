/** A server and agents as real processes, on simulated hypervisors, with what a test needs to act on them and to look. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { createHttpClient, type HttpClient } from '@cyborg/api-client/http';
import { all, createV3Client, type V3Client, type V3Result } from '@cyborg/api-client/v3';
import { cryptoAndFpgaHost } from '@cyborg/driver-sdk/example-trees';
import { buildTree, type TreeDescription } from '@cyborg/driver-sdk/tree-builder';
import { connect } from '@cyborg/store/connect';
import type { Database } from '@cyborg/store/schema';
import { carriedOut } from '@cyborg/testing/carried-out';
import { openEmptyDatabase } from '@cyborg/testing/database';
import { makeTempFolder } from '@cyborg/testing/embedded';
import { quietLog } from '@cyborg/testing/log';
import {
  eventually,
  freePort,
  runCli,
  startProgram,
  type CliResult,
  type RunningProgram,
} from '@cyborg/testing/processes';
import type { Kysely } from 'kysely';
import { afterAll } from 'vitest';

import { commandOf, descendantsOf, killNow } from './process-tree.ts';

export type Accelerator = V3Result<'showAccelerator'>;
export type Operation = V3Result<'showOperation'>;

/** A cold start of a program on a machine that runs other tests too. */
export const startTimeoutMs = 60_000;
/** An act of seconds, on such a machine. */
export const actMs = 60_000;

export interface SeedInstance {
  readonly name: string;
  readonly state?: string;
  readonly project_id?: string;
}

export interface HostOptions {
  readonly tree?: TreeDescription;
  readonly instances?: readonly SeedInstance[];
  /** More for the agent, such as `--drivers-dir`. */
  readonly args?: readonly string[];
  /** Another server than the fleet's own. */
  readonly url?: string;
}

export class Host {
  readonly name: string;
  readonly folder: string;
  #argv: string[];
  agent: RunningProgram | undefined;

  constructor(name: string, folder: string, argv: readonly string[]) {
    this.name = name;
    this.folder = folder;
    this.#argv = [...argv];
  }

  get hypervisor(): string {
    return join(this.folder, 'hypervisor');
  }

  get stateDir(): string {
    return join(this.folder, 'state');
  }

  get sysfs(): string {
    return join(this.folder, 'machine', 'sys');
  }

  start(more: readonly string[] = []): RunningProgram {
    this.agent = startProgram('agent', { args: ['run', ...this.#argv, ...more] });
    return this.agent;
  }

  /** With the folder of another agent: the same machine, twice. */
  startSecond(stateDir: string, more: readonly string[]): RunningProgram {
    const argv = this.#argv.map((word) => (word === this.stateDir ? stateDir : word));
    return startProgram('agent', { args: ['run', ...argv, ...more] });
  }

  async kill(): Promise<void> {
    await this.agent?.end('SIGKILL');
  }

  /** Names of all devices that are plugged, whatever guest. */
  devices(): string[] {
    const root = join(this.hypervisor, 'devices');
    return readdirSync(root)
      .flatMap((id) => readdirSync(join(root, id)))
      .filter((name) => name.startsWith('ua-cyborg-'))
      .toSorted();
  }

  fault(name: string, parameter = ''): Disposable {
    const file = join(this.hypervisor, 'faults', name);
    writeFileSync(file, parameter);
    return { [Symbol.dispose]: () => rmSync(file, { force: true }) };
  }

  /** Pids of the driver processes of this agent: its children that run a driver's program. */
  drivers(): number[] {
    return descendantsOf(this.agent?.pid ?? -1).filter((pid) =>
      commandOf(pid).includes('drivers/'),
    );
  }

  killDrivers(): void {
    for (const pid of this.drivers()) killNow(pid);
  }
}

export interface ServerOptions {
  readonly args?: readonly string[];
  readonly port?: number;
  readonly detached?: boolean;
  readonly database?: readonly string[];
}

/** A test that fails while it sets up has nobody to dispose its fleet: at the end of the file, we do. */
const opened = new Set<Fleet>();
afterAll(async () => {
  for (const fleet of opened) await fleet[Symbol.asyncDispose]();
});

export class Fleet implements AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly url: string;
  readonly v3: V3Client;
  readonly http: HttpClient;
  readonly hosts = new Map<string, Host>();
  readonly #databaseArgs: readonly string[];
  readonly #stack: AsyncDisposableStack;
  #db: Kysely<Database> | undefined;
  readonly #databaseUrl: string | undefined;
  #isElsewhere = false;
  server: RunningProgram | undefined;

  private constructor(options: {
    folder: string;
    port: number;
    databaseUrl: string | undefined;
    stack: AsyncDisposableStack;
  }) {
    const { folder, port, databaseUrl, stack } = options;
    this.folder = folder;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#databaseUrl = databaseUrl;
    this.#databaseArgs =
      databaseUrl === undefined
        ? ['--state-dir', join(folder, 'server')]
        : ['--database-url', databaseUrl];
    this.#stack = stack;
    this.http = makeHttp(this.url);
    this.v3 = createV3Client(this.http);
  }

  /** @param embedded  the server runs its own PostgreSQL, for tests whose victim it is. */
  static async open({ embedded = false }: { embedded?: boolean } = {}): Promise<Fleet> {
    const stack = new AsyncDisposableStack();
    const database = embedded ? undefined : stack.use(await openEmptyDatabase());
    const folder = stack.use(makeTempFolder()).path;
    const port = await freePort();
    const fleet = new Fleet({ folder, port, databaseUrl: database?.url, stack });
    opened.add(fleet);
    return fleet;
  }

  get isEmbedded(): boolean {
    return this.#databaseUrl === undefined;
  }

  get databaseUrl(): string {
    if (this.#databaseUrl === undefined) throw new Error('the database is the embedded one');
    return this.#databaseUrl;
  }

  /** Connects the first time it is asked for. */
  get db(): Kysely<Database> {
    if (this.#db === undefined) {
      const { db } = connect({ url: this.databaseUrl, log: quietLog, poolSizeMax: 4 });
      this.#stack.defer(() => db.destroy());
      this.#db = db;
    }
    return this.#db;
  }

  /** Starts a server on the fleet's database; the first one, or the one after the last was ended. */
  async startServer(options: ServerOptions = {}): Promise<RunningProgram> {
    const server = this.launchServer(options);
    this.#isElsewhere = options.database !== undefined;
    if (options.port === undefined) this.server = server;
    await this.untilReady(server, options.port);
    return server;
  }

  launchServer({ args = [], port = this.port, detached = false, database }: ServerOptions) {
    const server = startProgram('server', {
      args: [
        'run',
        ...(database ?? this.#databaseArgs),
        '--auth',
        'none',
        '--listen',
        `127.0.0.1:${port}`,
        '--log-level',
        'warn',
        ...args,
      ],
      detached,
    });
    this.#stack.use(server);
    return server;
  }

  async untilReady(server: RunningProgram, port: number = this.port): Promise<void> {
    const http = makeHttp(`http://127.0.0.1:${port}`);
    await eventually(
      async () => {
        if (server.hasEnded()) return true;
        await http.request({ method: 'GET', path: '/readyz', timeoutMs: 2_000 });
        return true;
      },
      { timeoutMs: startTimeoutMs, what: '/readyz is 200', context: () => server.output() },
    ).finally(() => http.close());
    if (server.hasEnded()) throw new Error(`the server ended: ${server.output()}`);
  }

  /** Lays the host's machine out, enrols it and starts its agent. Returns before the agent is up: see `untilUp`. */
  async addHost(name: string, options: HostOptions = {}): Promise<Host> {
    const body = { host: name, simulated: true };
    const { token } = carriedOut(await this.v3.createJoinToken({ body }));
    const host = this.layOutHost(name, options);
    host.start(['--join-token', token]);
    this.#stack.defer(() => host.kill());
    return host;
  }

  layOutHost(name: string, { tree, instances, args = [], url = this.url }: HostOptions): Host {
    const folder = join(this.folder, 'hosts', name);
    mkdirSync(folder, { recursive: true });
    const { sysfs, proc, dev } = buildTree(join(folder, 'machine'), tree ?? cryptoAndFpgaHost());
    for (const path of [sysfs, proc, dev]) mkdirSync(path, { recursive: true });
    const seeds = join(folder, 'instances.json');
    writeFileSync(seeds, JSON.stringify(instances ?? [{ name: `${name}-vm` }]));
    const state = join(folder, 'state');
    const simulated = join(folder, 'hypervisor');
    const argv = Object.entries({
      server: url,
      'state-dir': state,
      'host-name': name,
      'node-name': name,
      hypervisor: 'simulated',
      'simulated-dir': simulated,
      'simulated-instances': seeds,
      'sysfs-root': sysfs,
      'proc-root': proc,
      'dev-root': dev,
    }).flatMap(([flag, value]) => [`--${flag}`, value]);
    const host = new Host(name, folder, [...argv, '--simulated', ...args]);
    this.hosts.set(name, host);
    return host;
  }

  async addHosts(names: readonly string[], options: HostOptions = {}): Promise<Host[]> {
    const hosts = await Promise.all(names.map((name) => this.addHost(name, options)));
    for (const host of hosts) await this.untilUp(host);
    return hosts;
  }

  /** Its agent holds the lease and its instances are in the ledger. */
  async untilUp(host: Host): Promise<void> {
    await eventually(
      async () => {
        if (host.agent?.hasEnded() === true) return true;
        const { state } = await this.v3.showHost({ params: { host: host.name } });
        if (state !== 'up') return false;
        const { items } = await this.v3.listInstances({ query: { host: host.name } });
        return items.length > 0;
      },
      { timeoutMs: startTimeoutMs, what: `${host.name} is up`, context: () => logOf(host) },
    );
    if (host.agent?.hasEnded() === true) throw new Error(`the agent ended: ${logOf(host)}`);
  }

  /** Hosts are up, their hypervisors answer, their backends are ready. */
  async untilAttachable(timeoutMs: number = actMs): Promise<void> {
    await eventually(
      async () => {
        const { items: hosts } = await this.v3.listHosts({ query: {} });
        const { items: backends } = await this.v3.listBackends({ query: {} });
        const isWell = hosts.every(
          ({ state, hypervisors }) => state === 'up' && hypervisors.every(({ healthy }) => healthy),
        );
        return isWell && backends.every(({ state }) => state === 'ready');
      },
      { timeoutMs, what: 'hosts and backends are ready', context: () => this.logs() },
    );
  }

  /** Installs software accelerators: on each host so many of each kind. */
  async installVirtual(
    hosts: readonly string[],
    config: { crypto?: number; entropy?: number } = {},
  ): Promise<void> {
    const backends = [{ name: 'soft', kind: 'virtual', hosts: [...hosts], config }];
    await this.done(
      this.v3.installDriver({ params: { driver_id: 'generic' }, body: { backends } }),
    );
  }

  /** Waits for the operation's success. @throws with the operation when it ends otherwise. */
  async done(answer: Promise<object> | object, timeoutMs: number = actMs): Promise<Operation> {
    const operation = await this.ended(answer, timeoutMs);
    if (operation.state === 'succeeded') return operation;
    throw new Error(`the operation ended otherwise: ${JSON.stringify(operation)}`);
  }

  async ended(answer: Promise<object> | object, timeoutMs: number = actMs): Promise<Operation> {
    const given = await answer;
    const id = 'id' in given ? String(given.id) : '';
    return eventually(
      async () => {
        const operation = await this.v3.showOperation({ params: { id } });
        return ['succeeded', 'failed', 'cancelled'].includes(operation.state) && operation;
      },
      {
        timeoutMs,
        what: `operation ${JSON.stringify(given)} ends`,
        pauseMs: 40,
        context: () => this.logs(),
      },
    );
  }

  async instance(host: string): Promise<string> {
    const { items } = await this.v3.listInstances({ query: { host } });
    const [first] = items;
    if (first === undefined) throw new Error(`${host} has no instance`);
    return first.id;
  }

  async attach(
    instanceId: string,
    body: { accelerator?: string; driver?: string; count?: number } = {},
  ): Promise<Operation> {
    return this.done(this.requestAttach(instanceId, body));
  }

  requestAttach(
    instanceId: string,
    body: { accelerator?: string; driver?: string; count?: number } = {},
  ): Promise<object> {
    return this.v3.createAttachments({ params: { instance_id: instanceId }, body });
  }

  async detach(instanceId: string, accelerator?: string): Promise<Operation> {
    return this.done(this.requestDetach(instanceId, accelerator));
  }

  requestDetach(instanceId: string, accelerator?: string): Promise<object> {
    const query = accelerator === undefined ? {} : { accelerator };
    return this.v3.deleteAttachments({ params: { instance_id: instanceId }, query });
  }

  async accelerators(query: object = {}): Promise<Accelerator[]> {
    const found: Accelerator[] = [];
    for await (const item of all(this.v3.listAccelerators, { query })) found.push(item);
    return found;
  }

  /** All that were written before it is called, unless the server was started on another database than the fleet's. */
  async events(kind?: string): Promise<V3Result<'listEvents'>['items']> {
    if (!this.isEmbedded && !this.#isElsewhere) await this.untilNumbered();
    const found: V3Result<'listEvents'>['items'] = [];
    for await (const item of all(this.v3.listEvents, { query: {} })) {
      if (kind === undefined || item.kind === kind) found.push(item);
    }
    return found;
  }

  /** Events get their numbers a moment after their commit; nobody is shown one without. */
  async untilNumbered(): Promise<void> {
    await eventually(
      async () => {
        const waiting = this.db.selectFrom('event').select('id').where('number', 'is', null);
        return (await waiting.limit(1).execute()).length === 0;
      },
      { timeoutMs: actMs, what: 'every event has its number', context: () => this.logs() },
    );
  }

  cli(...args: string[]): Promise<CliResult> {
    return runCli(args, { CYBORG_URL: this.url, HOME: this.folder });
  }

  /** The CLI's JSON answer. @throws with what it said when it failed. */
  async cliJson<T = Record<string, unknown>>(...args: string[]): Promise<T> {
    const { status, stdout, stderr } = await this.cli(...args, '-f', 'json');
    if (status !== 0) throw new Error(`cyborg ${args.join(' ')}: ${status}\n${stderr}`);
    const parsed: T = JSON.parse(stdout);
    return parsed;
  }

  /** For a failed test's output. */
  logs(): string {
    const agents = [...this.hosts.values()].map(logOf);
    return [`server: ${this.server?.output().slice(-6_000) ?? ''}`, ...agents].join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    opened.delete(this);
    this.http.close();
    await this.#stack.disposeAsync();
  }
}

export function makeHttp(baseUrl: string): HttpClient {
  return createHttpClient({
    baseUrl,
    auth: { kind: 'none' },
    retry: { totalMsMax: 0, firstContactMsMax: 0 },
  });
}

function logOf(host: Host): string {
  return `agent of ${host.name}: ${host.agent?.output().slice(-6_000) ?? 'not started'}`;
}

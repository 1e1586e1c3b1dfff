/** The real thing for the bench: a server on its embedded database, one agent with a driver process, both started here. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { createHttpClient, type HttpClient } from '@cyborg/api-client/http';
import { createV3Client, type V3Client } from '@cyborg/api-client/v3';
import pg from 'pg';

import { carriedOut } from '@cyborg/testing/carried-out';
import { makeTempFolder } from '@cyborg/testing/embedded';
import {
  cleanEnvironment,
  eventually,
  freePort,
  programs,
  startProgram,
  type RunningProgram,
} from '@cyborg/testing/processes';

import { project } from './lists-ledger.ts';
import { familyOf, type ProcessEntry } from './process-figures.ts';

export interface BenchFleet extends AsyncDisposable {
  readonly url: string;
  readonly http: HttpClient;
  readonly api: V3Client;
  /** As a user of the project that lists-ledger.ts gives something. */
  loginAs(name: 'manager' | 'member'): V3Client;
  /** A member of project `tenants`, for whom Nova asks. */
  readonly nova: HttpClient;
  readonly server: RunningProgram;
  readonly agent: RunningProgram;
  readonly databaseUrl: string;
  /** A connection of the bench's own to the ledger's database. */
  readonly pool: pg.Pool;
  readonly stateDir: string;
  readonly agentStateDir: string;
  readonly drivers: () => readonly ProcessEntry[];
  /** Stops the agent's process from running (its lease goes on), and lets it run again. */
  agentPause(): void;
  agentContinue(): void;
}

export interface FleetOptions {
  /** Accelerators of the virtual backend. */
  readonly accelerators: number;
  readonly instances: number;
}

/** What one virtual backend of the generic driver takes. */
const perBackendMax = 256;
const readyTimeoutMs = 60_000;
const password = 'bench-password-of-one-run';
const users = [
  { name: 'bench', roles: ['admin'], project: 'bench' },
  { name: 'manager', roles: ['manager'], project },
  { name: 'member', roles: ['member'], project },
  { name: 'nova', roles: ['member', 'service'], project: 'tenants' },
] as const;

/** Everything below a temporary folder; gone when disposed. */
export async function startBenchFleet(options: FleetOptions): Promise<BenchFleet> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(makeTempFolder());
  const stateDir = join(folder.path, 'server');
  mkdirSync(stateDir, { mode: 0o700 });
  for (const user of users) addUser(stateDir, user);
  const url = `http://127.0.0.1:${await freePort()}`;
  const server = startProgram('server', {
    args: ['--state-dir', stateDir, '--listen', url.slice('http://'.length), '--log-level', 'warn'],
  });
  stack.defer(async () => void (await server.end()));
  const http = login(url, users[0].name);
  const api = createV3Client(http);
  await eventually(() => api.showCaller({}), {
    timeoutMs: readyTimeoutMs,
    what: 'the server answers',
    context: server.output,
  });
  const agent = await startAgent({ folder: folder.path, url, api, instances: options.instances });
  stack.defer(async () => void (await agent.end()));
  await installVirtual(api, options.accelerators, agent);
  const databaseUrl = databaseUrlOf(server.pid);
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  stack.defer(() => pool.end());
  const owned = stack.move();
  return {
    url,
    pool,
    http,
    api,
    nova: login(url, 'nova'),
    loginAs: (name) => createV3Client(login(url, name)),
    server,
    agent,
    stateDir,
    agentStateDir: join(folder.path, 'agent'),
    databaseUrl,
    agentPause: () => void agent.child.kill('SIGSTOP'),
    agentContinue: () => void agent.child.kill('SIGCONT'),
    drivers: () => familyOf(agent.pid).filter(({ command }) => command.includes('--permission')),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function login(baseUrl: string, user: string): HttpClient {
  return createHttpClient({
    baseUrl,
    auth: { kind: 'basic', user, password },
    timeoutMs: 30_000,
  });
}

function addUser(stateDir: string, user: (typeof users)[number]): void {
  const args = [
    'user-set',
    user.name,
    '--state-dir',
    stateDir,
    ...user.roles.flatMap((role) => ['--role', role]),
    '--project',
    user.project,
    '--password-stdin',
  ];
  const result = spawnSync(process.execPath, [programs.server, ...args], {
    env: cleanEnvironment(),
    input: `${password}\n`,
    encoding: 'utf8',
  });
  if (result.status !== 0) throw new Error(`user-set failed: ${result.stderr}`);
}

async function startAgent(given: {
  folder: string;
  url: string;
  api: V3Client;
  instances: number;
}): Promise<RunningProgram> {
  const made = await given.api.createJoinToken({ body: { host: 'bench-host', simulated: true } });
  const { token } = carriedOut(made);
  const instancesFile = join(given.folder, 'instances.json');
  const instances = Array.from({ length: given.instances }, (_, index) => ({
    name: `guest-${index}`,
    state: 'ACTIVE',
    project_id: 'bench',
  }));
  writeFileSync(instancesFile, JSON.stringify(instances));
  const tree = join(given.folder, 'tree');
  for (const name of ['sys', 'proc', 'dev']) mkdirSync(join(tree, name), { recursive: true });
  return startProgram('agent', {
    args: [
      `--server=${given.url}`,
      `--state-dir=${join(given.folder, 'agent')}`,
      `--join-token=${token}`,
      '--host-name=bench-host',
      '--simulated',
      '--hypervisor=simulated',
      `--simulated-instances=${instancesFile}`,
      '--log-level=warn',
      `--sysfs-root=${join(tree, 'sys')}`,
      `--proc-root=${join(tree, 'proc')}`,
      `--dev-root=${join(tree, 'dev')}`,
    ],
  });
}

async function installVirtual(
  api: V3Client,
  accelerators: number,
  agent: RunningProgram,
): Promise<void> {
  await eventually(
    async () => (await api.showHost({ params: { host: 'bench-host' } })).state === 'up',
    {
      timeoutMs: readyTimeoutMs,
      what: 'the host is up',
      context: agent.output,
    },
  );
  const backends = Array.from({ length: Math.ceil(accelerators / perBackendMax) }, (_, index) => ({
    name: `virtual-${index}`,
    kind: 'virtual',
    hosts: ['bench-host'],
    config: { crypto: Math.min(perBackendMax, accelerators - index * perBackendMax), entropy: 0 },
  }));
  await api.installDriver({ params: { driver_id: 'generic' }, query: {}, body: { backends } });
  await eventually(
    async () => {
      const { items } = await api.listBackends({ query: {} });
      return items.reduce((sum, { accelerators_free: free }) => sum + free, 0) === accelerators;
    },
    {
      timeoutMs: readyTimeoutMs,
      what: `${accelerators} accelerators are free`,
      context: agent.output,
    },
  );
  await eventually(async () => (await api.listInstances({ query: {} })).items.length > 0, {
    timeoutMs: readyTimeoutMs,
    what: 'the instances are there',
  });
}

/** The embedded PostgreSQL listens on a socket in the folder of its second-last argument pair; trust within. */
function databaseUrlOf(serverPid: number): string {
  const postgres = familyOf(serverPid).find(({ command }) =>
    /\/postgres .*unix_socket_directories=/.test(command),
  );
  const folder = /unix_socket_directories="?([^\s"]+)/.exec(postgres?.command ?? '')?.[1];
  if (folder === undefined) throw new Error('the server runs no embedded PostgreSQL');
  return `postgresql://cyborg@localhost/cyborg?host=${encodeURIComponent(folder)}`;
}

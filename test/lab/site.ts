/**
 * A server on this machine, and the agent of the host `lab` inside the lab: what an operator has, driven by its users'
 * means (CLI, API). The server is outside because an emulated processor would take a minute to start it; its ledger is
 * the embedded PostgreSQL of a folder of its own.
 */
import { execFileSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';

import { createHttpClient, type HttpClient } from '@cyborg/api-client/http';
import { all, createV3Client, type V3Client, type V3Result } from '@cyborg/api-client/v3';
import { carriedOut } from '@cyborg/testing/carried-out';
import { makeTempFolder } from '@cyborg/testing/embedded';
import {
  eventually,
  freePort,
  runCli,
  startProgram,
  type CliResult,
  type RunningProgram,
} from '@cyborg/testing/processes';

import { checkout, installedAt } from './bundle.ts';
import { patientMs, type Lab } from './lab.ts';

export type Accelerator = V3Result<'showAccelerator'>;
export type Operation = V3Result<'showOperation'>;

export const hostName = 'lab';
const serverStartMsMax = 300_000;
const logCharactersMax = 400_000;
const leaseWords = 'holding the lease of this host';
const node = join(checkout, 'node_modules/.bin/node');

export interface SiteOptions {
  readonly hypervisor?: 'qemu' | 'libvirt';
  /** More for the agent. */
  readonly args?: readonly string[];
  /** More for the server. */
  readonly serverArgs?: readonly string[];
}

export class Site implements AsyncDisposable {
  readonly lab: Lab;
  readonly port: number;
  readonly url: string;
  readonly v3: V3Client;
  readonly #http: HttpClient;
  readonly #folder: Disposable & { readonly path: string };
  readonly #agentArguments: readonly string[];
  readonly #serverArguments: readonly string[];
  #server: RunningProgram | undefined;
  #agent: ChildProcess | undefined;
  #agentSaid = '';
  #agentHasLease = false;
  #backups = 0;

  private constructor(
    lab: Lab,
    port: number,
    { hypervisor = 'qemu', args = [], serverArgs = [] }: SiteOptions,
  ) {
    this.lab = lab;
    this.#serverArguments = serverArgs;
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#folder = makeTempFolder();
    this.#http = createHttpClient({ baseUrl: this.url, auth: { kind: 'none' } });
    this.v3 = createV3Client(this.#http);
    const slow = { patience: '10', 'attach-deadline': '900' };
    const own = { hypervisor, 'qmp-dir': '/run/cyborg/qmp', ...slow };
    const flags = Object.entries(own).flatMap(([flag, value]) => [`--${flag}`, value]);
    this.#agentArguments = [...flags, ...args];
  }

  /** Server and agent, started anew on an empty ledger; resolves when the host is up. */
  static async open(lab: Lab, options: SiteOptions = {}): Promise<Site> {
    const site = new Site(lab, await freePort(), options);
    try {
      lab.forwardTo(site.port);
      await site.startServer();
      const body = { host: hostName, simulated: false };
      await site.#enrol(carriedOut(await site.v3.createJoinToken({ body })).token);
      return site;
    } catch (error) {
      await site[Symbol.asyncDispose]();
      throw error;
    }
  }

  get ledgerFolder(): string {
    return join(this.#folder.path, 'server');
  }

  async startServer(): Promise<void> {
    const address = ['--listen', `127.0.0.1:${this.port}`];
    const args = ['run', '--state-dir', this.ledgerFolder, '--auth', 'none', ...address];
    const more = ['--log-level', 'info', ...this.#serverArguments];
    const server = startProgram('server', { args: [...args, ...more], endsWithTest: true });
    this.#server = server;
    await eventually(
      async () => {
        if (server.hasEnded()) return true;
        const answer = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(5_000) });
        await answer.body?.cancel();
        return answer.ok;
      },
      { timeoutMs: serverStartMsMax, what: '/readyz is 200', context: () => server.output() },
    );
    if (server.hasEnded()) throw new Error(`the server ended: ${server.output()}`);
  }

  async stopServer(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#server?.end(signal);
  }

  /** Copies the ledger; the server must be stopped. @returns the copy, for `restore`. */
  backUp(): string {
    const copy = join(this.#folder.path, `backup-${(this.#backups += 1)}`);
    copyWhole(this.ledgerFolder, copy);
    return copy;
  }

  /** Puts an older ledger in place of the present one; the server must be stopped. */
  restore(copy: string): void {
    rmSync(this.ledgerFolder, { recursive: true, force: true });
    copyWhole(copy, this.ledgerFolder);
  }

  /** What an operator does after restoring a backup; the server must be stopped. */
  async beginIncarnation(): Promise<void> {
    const args = ['new-incarnation', '--state-dir', this.ledgerFolder];
    const begun = startProgram('server', { args });
    const status = await begun.ended;
    if (status !== 0) throw new Error(`new-incarnation: exit ${status}\n${begun.output()}`);
  }

  /**
   * Also after the lab was rebooted: its credential is on the disk.
   * @param more  `--join-token …` the first time.
   */
  startAgent(more: readonly string[] = []): void {
    const first = 'mkdir -p /run/cyborg/qmp; echo $$ > /run/cyborg-agent.pid';
    const agent = this.lab.start(`${first}; ${this.agentLine(more)}`);
    this.#agent = agent;
    this.#agentHasLease = false;
    const keep = (chunk: Buffer): void => {
      this.#agentSaid = (this.#agentSaid + chunk.toString()).slice(-logCharactersMax);
      const latest = this.#agentSaid.slice(-chunk.length - leaseWords.length);
      if (latest.includes(leaseWords)) this.#agentHasLease = true;
    };
    agent.stdout?.on('data', keep);
    agent.stderr?.on('data', keep);
  }

  /** An agent that knows nothing of the one before it, which has ended. Resolves when the host is up. */
  async replaceAgent(): Promise<void> {
    const answer = await this.v3.reenrollHost({ params: { host: hostName } });
    await this.#enrol(carriedOut(answer).token);
  }

  async #enrol(token: string): Promise<void> {
    await this.lab.run('rm -rf /lab/state/agent');
    this.startAgent(['--join-token', token]);
    await this.untilHostIs('up');
  }

  /** Becomes the agent, in a shell inside; or what goes before it when the machine starts. */
  agentLine(more: readonly string[] = [], command: 'run' | 'prepare-held' = 'run'): string {
    const flags = {
      server: 'http://10.0.2.100:6680',
      'state-dir': '/lab/state/agent',
      'host-name': hostName,
      'node-name': hostName,
    };
    const own = Object.entries(flags).map(([flag, value]) => `--${flag} ${value}`);
    const program = `exec ${node} ${installedAt}/apps/agent/src/main.js ${command}`;
    return [program, ...own, ...this.#agentArguments, ...more].join(' ');
  }

  get agentSaid(): string {
    return this.#agentSaid;
  }

  get agentHasEnded(): boolean {
    return this.#agent === undefined || this.#agent.exitCode !== null;
  }

  /** Ends the agent; its drivers end with it. */
  async stopAgent(signal: 'KILL' | 'TERM' = 'TERM'): Promise<void> {
    const agent = this.#agent;
    if (agent === undefined || agent.exitCode !== null) return;
    const ended = once(agent, 'exit', { signal: AbortSignal.timeout(2 * patientMs) });
    await this.lab.tryRun(`kill -${signal} $(cat /run/cyborg-agent.pid)`);
    await ended;
  }

  async untilHostIs(state: string): Promise<void> {
    await eventually(
      async () => {
        if (state === 'up' && this.agentHasEnded) return true;
        // (The lease of one that was killed a moment ago says "up", too.)
        if (state === 'up' && !this.#agentHasLease) return false;
        const host = await this.v3.showHost({ params: { host: hostName } });
        return host.state === state && host.hypervisors.every(({ healthy }) => healthy);
      },
      { timeoutMs: patientMs, what: `the host is ${state}`, context: () => this.logs() },
    );
    if (state === 'up' && this.agentHasEnded) throw new Error(`the agent ended: ${this.logs()}`);
  }

  /** Installs the generic driver with one backend of PCI functions, and waits until it has looked. */
  async installDriver(config: object, name = 'cards'): Promise<void> {
    const backends = [{ name, kind: 'pci', hosts: [hostName], config: { ...config } }];
    const params = { driver_id: 'generic' };
    await this.done(this.v3.installDriver({ params, body: { backends } }));
  }

  async untilBackendsAre(wanted: string): Promise<void> {
    let seen: readonly string[] = [];
    await eventually(
      async () => {
        const { items } = await this.v3.listBackends({ query: {} });
        seen = items.map(({ name, state, reason }) => `${name} is ${state}: ${reason}`);
        return items.every(({ state }) => state === wanted);
      },
      {
        timeoutMs: patientMs,
        what: `the backends are ${wanted}`,
        context: () => `${seen.join('\n')}\n${this.logs()}`,
      },
    );
  }

  async accelerators(): Promise<Accelerator[]> {
    const found: Accelerator[] = [];
    for await (const item of all(this.v3.listAccelerators, { query: {} })) found.push(item);
    return found;
  }

  /** The accelerator at this PCI address. */
  async at(address: string): Promise<Accelerator> {
    const found = (await this.accelerators()).find(({ name }) => name.endsWith(address));
    if (found === undefined) throw new Error(`nothing is listed at ${address}`);
    return found;
  }

  /** @throws with the operation when it does not succeed. */
  async done(answer: Promise<object> | object, timeoutMs = 2 * patientMs): Promise<Operation> {
    const operation = await this.ended(answer, timeoutMs);
    if (operation.state === 'succeeded') return operation;
    throw new Error(`it ended otherwise: ${JSON.stringify(operation, null, 1)}\n${this.logs()}`);
  }

  async ended(answer: Promise<object> | object, timeoutMs = 2 * patientMs): Promise<Operation> {
    const given = await answer;
    const id = 'id' in given ? String(given.id) : '';
    return await eventually(
      async () => {
        const operation = await this.v3.showOperation({ params: { id } });
        return ['succeeded', 'failed', 'cancelled'].includes(operation.state) && operation;
      },
      {
        timeoutMs,
        what: `operation ${JSON.stringify(given)} ends`,
        pauseMs: 100,
        context: () => this.logs(),
      },
    );
  }

  async untilInstance(id: string): Promise<void> {
    const isThere = async (): Promise<boolean> => {
      const { presence } = await this.v3.showInstance({ params: { instance_id: id } });
      return presence === 'present';
    };
    const what = `instance ${id} is listed`;
    await eventually(isThere, { timeoutMs: patientMs, what, context: () => this.logs() });
  }

  /** As Nova calls it. @returns the answer's body, with its `status` when it was refused. */
  async v2(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    const answer = await fetch(`${this.url}/v2${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(patientMs),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const said = await answer.text();
    const value: unknown = said === '' ? {} : JSON.parse(said);
    const fields = typeof value === 'object' && value !== null ? { ...value } : {};
    return answer.ok ? fields : { ...fields, status: answer.status };
  }

  async cyborg(...args: string[]): Promise<CliResult> {
    return await runCli(args, { CYBORG_URL: this.url, HOME: this.#folder.path });
  }

  /** `cyborg …`, which must succeed. @returns what it printed. */
  async succeeds(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.cyborg(...args);
    if (status === 0) return stdout;
    throw new Error(`cyborg ${args.join(' ')}: exit ${status}\n${stderr}\n${this.logs()}`);
  }

  logs(): string {
    const agent = this.#agentSaid.slice(-8_000);
    return `server: ${this.#server?.output().slice(-4_000) ?? ''}\nagent: ${agent}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopAgent('KILL').catch(() => undefined);
    await this.#server?.end('SIGTERM');
    this.#http.close();
    this.#folder[Symbol.dispose]();
  }
}

/** With owners: PostgreSQL's files are its own user's. */
function copyWhole(from: string, to: string): void {
  execFileSync('cp', ['-a', from, to]);
}

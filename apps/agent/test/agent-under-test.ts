/** An agent as a process of its own, or inside the test, with a simulated hypervisor in a folder of its own. */
import { randomUUID } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DesiredBackend, DesiredInstallation, Order } from '@cyborg/api-spec/agent/desired';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { systemRng } from '@cyborg/service/rng';
import type { AgentSettings } from '../src/agent-parts.ts';
import { startAgent, type RunningAgent } from '../src/agent.ts';
import { openSimulatedHypervisor } from '../src/hypervisors/simulated/simulated.ts';
import { simulatedInstanceId } from '../src/hypervisors/simulated/instance-id.ts';
import type { FakeServer } from './fake-server.ts';

export const testDrivers = fileURLToPath(new URL('../test-drivers', import.meta.url));
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

export const hostName = 'test-host';
export const instanceOne = simulatedInstanceId(hostName, 'one');
export const instanceTwo = simulatedInstanceId(hostName, 'two');

export class TestHost implements AsyncDisposable {
  readonly folder: string;
  readonly server: FakeServer;
  readonly #stops: (() => Promise<void>)[] = [];

  private constructor(folder: string, server: FakeServer) {
    this.folder = folder;
    this.server = server;
  }

  static async make(server: FakeServer): Promise<TestHost> {
    return new TestHost(await mkdtemp(join(tmpdir(), 'cyborg-agent-')), server);
  }

  get hypervisorFolder(): string {
    return join(this.folder, 'hypervisor');
  }

  async start(change: Partial<AgentSettings> = {}): Promise<RunningAgent> {
    const hypervisor = await openSimulatedHypervisor({
      directory: this.hypervisorFolder,
      clock: systemClock,
      hostName,
      seedInstances: [{ name: 'one' }, { name: 'two' }],
    });
    const level = process.env['CYBORG_TEST_LOG'] ? 'debug' : 'silent';
    const agent = await startAgent({
      clock: systemClock,
      rng: systemRng,
      log: makeLogger({ name: 'agent', level, clock: systemClock, format: 'lines' }),
      hypervisor,
      server: this.server.url,
      ca: undefined,
      stateDir: this.folder,
      host: { name: hostName, nodeName: hostName },
      joinToken: this.server.token,
      joinTokenFile: undefined,
      facts: {},
      simulated: true,
      roots: { sysfs: '/sys', proc: '/proc', dev: '/dev' },
      driversDirs: [testDrivers],
      driverTrust: { policy: 'require', keys: [] },
      uid: process.getuid?.() ?? 0,
      execPath: process.execPath,
      inventoryIntervalMs: 60_000,
      instanceIntervalMs: 1_000,
      attachDeadlineMs: 10_000,
      stopGraceMs: 2_000,
      ...change,
    });
    this.#stops.push(async () => agent[Symbol.asyncDispose]());
    return agent;
  }

  /** As a process, to be killed. */
  spawn(args: readonly string[] = []): ChildProcess {
    const seeds = join(this.folder, 'instances.json');
    writeFileSync(seeds, JSON.stringify([{ name: 'one' }, { name: 'two' }]));
    const child = spawn(
      process.execPath,
      [
        main,
        '--server',
        this.server.url,
        '--join-token',
        this.server.token,
        '--state-dir',
        this.folder,
        '--host-name',
        hostName,
        '--hypervisor',
        'simulated',
        '--simulated',
        '--simulated-dir',
        this.hypervisorFolder,
        '--drivers-dir',
        testDrivers,
        '--simulated-instances',
        seeds,
        '--log-format',
        'lines',
        ...args,
      ],
      { stdio: ['ignore', 'ignore', process.env['CYBORG_TEST_LOG'] ? 'inherit' : 'ignore'] },
    );
    this.#stops.push(async () => {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await ended;
      }
    });
    return child;
  }

  async devices(instance: string): Promise<string[]> {
    return await readdir(join(this.hypervisorFolder, 'devices', instance)).catch(() => []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stop of this.#stops.toReversed()) await stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export function makeBackend(change: Partial<DesiredBackend> = {}): DesiredBackend {
  return {
    id: randomUUID(),
    name: 'demo',
    kind: 'demo',
    config: {},
    additions: [],
    generation: 1,
    discovery: 0,
    ...change,
  };
}

export function makeInstallation(
  backends: DesiredBackend[],
  change: Partial<DesiredInstallation> = {},
): DesiredInstallation {
  return {
    id: randomUUID(),
    driver_id: 'naughty',
    version: '1.0.0',
    generation: 1,
    wanted: 'present',
    backends,
    removed_backends: [],
    ...change,
  };
}

export function makeOrder(kind: Order['kind'], change: Partial<Order> = {}): Order {
  const epoch = change.epoch ?? 1;
  return {
    kind,
    attachment_id: kind === 'clean' ? null : randomUUID(),
    accelerator_id: randomUUID(),
    accelerator_key: 'acc-0',
    backend_id: randomUUID(),
    epoch,
    device_epoch: epoch,
    instance_id: kind === 'clean' ? null : instanceOne,
    plugged_by: 'agent',
    driver_gone: false,
    ...change,
  };
}

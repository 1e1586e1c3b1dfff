/** `npm start -- --demo`: every verb acts, projects are apart, instances and devices survive kill -9. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { makeTempFolder } from '@cyborg/testing/embedded';
import {
  cleanEnvironment,
  eventually,
  freePort,
  programs,
  runCli,
  startProgram,
  type CliResult,
  type RunningProgram,
} from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

const readyMs = 120_000;
const settleMs = 60_000;
const demoHosts = ['demo-gpu', 'demo-crypto-fpga', 'demo-recorded'];
const strangersPassword = 'a stranger here';

interface Row {
  id: string;
  name: string;
  host: string;
  state: string;
  type?: string;
  project_id?: string;
  instance_id?: string | null;
}

class Demo implements AsyncDisposable {
  readonly stateDir: string;
  readonly url: string;
  readonly #home: string;
  #program: RunningProgram | undefined;

  constructor(folder: string, port: number) {
    this.stateDir = join(folder, 'state');
    this.#home = join(folder, 'home');
    mkdirSync(this.#home);
    this.url = `http://127.0.0.1:${port}`;
  }

  async start(): Promise<void> {
    const listen = new URL(this.url).host;
    const args = ['--demo', '--state-dir', this.stateDir, '--listen', listen];
    const program = startProgram('allInOne', { args, env: { HOME: this.#home }, detached: true });
    this.#program = program;
    await eventually(() => program.hasEnded() || program.output().includes('Ready.'), {
      timeoutMs: readyMs,
      what: 'the demo is ready',
      context: () => program.output(),
    });
    if (program.hasEnded()) throw new Error(program.output());
  }

  /** The process group: server and PostgreSQL. Agents are told of their parent's death. */
  async killAll(): Promise<void> {
    if (this.#program === undefined) throw new Error('nothing was started');
    process.kill(-this.#program.pid, 'SIGKILL');
    await this.#program.ended;
  }

  cli(who: string, ...args: string[]): Promise<CliResult> {
    const login =
      who === 'stranger'
        ? { CYBORG_USER: who, CYBORG_PASSWORD: strangersPassword, CYBORG_URL: this.url }
        : {
            CYBORG_CONFIG: join(
              this.stateDir,
              who === 'admin' ? 'client.yaml' : `client-${who}.yaml`,
            ),
          };
    return runCli(args, { ...login, HOME: this.#home });
  }

  async json<T = Row[]>(who: string, ...args: string[]): Promise<T> {
    const { status, stdout, stderr } = await this.cli(who, ...args, '-f', 'json');
    if (status !== 0) throw new Error(`${who}: cyborg ${args.join(' ')}: ${status} ${stderr}`);
    const content: T = JSON.parse(stdout);
    return content;
  }

  /** A member of another project, as an operator adds one. */
  async addStranger(): Promise<void> {
    const args = ['user-set', 'stranger', '--state-dir', this.stateDir, '--project', 'elsewhere'];
    const child = spawn(
      process.execPath,
      [programs.server, ...args, '--role', 'member', '--password-stdin'],
      { env: cleanEnvironment(), stdio: ['pipe', 'ignore', 'ignore'] },
    );
    child.stdin?.end(strangersPassword);
    const [status]: unknown[] = await once(child, 'exit');
    if (status !== 0) throw new Error(`user-set ended with ${String(status)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program?.end('SIGTERM');
  }
}

describe('the demo fleet', { timeout: 600_000 }, () => {
  it('lets every verb act, keeps projects apart, and survives kill -9 of everything', async ({
    expect,
  }) => {
    using folder = makeTempFolder();
    await using demo = new Demo(folder.path, await freePort());
    await demo.start();
    await demo.addStranger();

    // Each demo host's first instance is ACTIVE, with accelerators free.
    const instances = await demo.json('member', 'instance-list');
    const accelerators = await demo.json('admin', 'accelerator-list');
    for (const host of demoHosts) {
      expect(
        instances.find((one) => one.host === host),
        host,
      ).toMatchObject({ state: 'ACTIVE' });
      const free = accelerators.filter((one) => one.host === host && one.state === 'available');
      expect(free.length, host).toBeGreaterThanOrEqual(8);
    }
    const vm = instances.find(({ host }) => host === 'demo-gpu')?.id ?? '';
    const gpu = accelerators.find(
      ({ host, type, state }) => host === 'demo-gpu' && type === 'GPU' && state === 'available',
    );
    const gpuId = gpu?.id ?? '';

    // The eight verbs of the generic driver, by the roles they are for.
    const drivers = await demo.json<{ id: string }[]>('reader', 'driver-list');
    expect(drivers.map(({ id }) => id)).toContain('generic');
    await demo.json('admin', 'install-driver', 'generic');
    await demo.json('admin', 'discover-services', '--host', 'demo-gpu');
    const services = await demo.json<{ name: string }[]>(
      'admin',
      'service-list',
      '--host',
      'demo-gpu',
    );
    expect(services.map(({ name }) => name)).toContain('gpu.compute');
    await demo.json('member', 'attach-instance', vm, '--accelerator', gpuId);
    expect(await demo.json<Row>('member', 'accelerator-show', gpuId)).toMatchObject({
      state: 'attached',
      instance_id: vm,
    });
    await demo.json(
      'admin',
      'update-driver',
      'generic',
      '--backend',
      'demo-virtual',
      '--config',
      'crypto=5',
    );
    const refused = await demo.cli('admin', 'uninstall-driver', 'generic', '--host', 'demo-gpu');
    expect(refused).toMatchObject({ status: 1 });
    expect(refused.stderr).toContain(vm);

    // Promise 9: who belongs to another project sees and touches nothing of it.
    expect(await demo.json('stranger', 'instance-list')).toEqual([]);
    expect(
      await demo.json('stranger', 'accelerator-list', '--instance', vm).catch(() => []),
    ).toEqual([]);
    const attempts = [
      ['instance-show', vm],
      ['attachment-list', vm],
      ['attach-instance', vm, '--driver', 'generic'],
      ['detach-instance', vm],
      ['accelerator-show', gpuId],
      ['accelerator-update', gpuId, '--name', 'mine'],
    ];
    for (const args of attempts) {
      const { status, stderr, stdout } = await demo.cli('stranger', ...args);
      expect(status, args.join(' ')).toBe(1);
      expect(stdout).not.toContain(gpu?.name);
      expect(stderr, args.join(' ')).toMatch(
        /no (such )?(instance|accelerator)|There is no|not found/i,
      );
    }

    // Everything dies at once, and is as it was.
    await demo.killAll();
    await demo.start();
    const again = await demo.json('member', 'instance-list');
    expect(again.map(({ id }) => id)).toEqual(instances.map(({ id }) => id));
    await eventually(
      async () => {
        const { state, instance_id: holder } = await demo.json<Row>(
          'member',
          'accelerator-show',
          gpuId,
        );
        return state === 'attached' && holder === vm;
      },
      { timeoutMs: settleMs, what: 'the accelerator is held as before' },
    );
    await demo.json('member', 'detach-instance', vm);
    await demo.json('admin', 'uninstall-driver', 'generic', '--host', 'demo-gpu');
    const left = await demo.json<Row[]>('admin', 'backend-list');
    expect(left.filter(({ host }) => host === 'demo-gpu')).toEqual([]);
  });
});

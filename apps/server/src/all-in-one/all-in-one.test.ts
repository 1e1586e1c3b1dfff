import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { eventually, runCli, startProgram } from '@cyborg/testing/processes';
import type { RunningProgram } from '@cyborg/testing/processes';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { parse } from 'yaml';

const readyTimeoutMs = 120_000;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-start-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const stateDir = (): string => join(folder, 'state');
const start = (...more: string[]): RunningProgram =>
  startProgram('allInOne', {
    args: ['--state-dir', stateDir(), '--listen', '127.0.0.1:0', ...more],
    detached: true,
  });

async function untilReady(program: RunningProgram): Promise<void> {
  await eventually(() => program.output().includes('Ready.'), {
    timeoutMs: readyTimeoutMs,
    what: 'npm start is ready',
    context: () => `${program.output()}\n${logs()}`,
  });
}

function logs(): string {
  try {
    return readFileSync(join(stateDir(), 'log', 'server.log'), 'utf8').slice(-3000);
  } catch {
    return '';
  }
}

/** Runs the CLI as one of the first users and reads its JSON. */
async function cli(user: string, ...args: string[]): Promise<Record<string, unknown>[]> {
  const file = user === 'admin' ? 'client.yaml' : `client-${user}.yaml`;
  const result = await runCli([...args, '-f', 'json'], { CYBORG_CONFIG: join(stateDir(), file) });
  if (result.status !== 0) throw new Error(result.stderr);
  const content: unknown = JSON.parse(result.stdout);
  return [content].flat() as Record<string, unknown>[];
}

/** Processes of this installation, by what their command line names. */
function processesOf(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const isOurs = readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder);
        return isOurs && !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
      } catch {
        return false;
      }
    });
}

/** Several cold starts each, on a machine that runs other tests too. */
describe('npm start', { timeout: 600_000 }, () => {
  it('makes a whole installation, with users and connection files', async ({ expect }) => {
    await using program = start();
    await untilReady(program);
    for (const name of [
      'client.yaml',
      'client-manager.yaml',
      'client-member.yaml',
      'client-reader.yaml',
      'users.yaml',
    ]) {
      expect(statSync(join(stateDir(), name)).mode & 0o777, name).toBe(0o600);
    }
    const backends = await cli('admin', 'backend-list');
    expect(backends.map(({ name, kind, state }) => ({ name, kind, state }))).toEqual([
      { name: 'pci', kind: 'pci', state: 'ready' },
      { name: 'virtual', kind: 'virtual', state: 'ready' },
    ]);
    expect(await cli('member', 'instance-list')).toEqual([]);
    const { password } = parse(readFileSync(join(stateDir(), 'client.yaml'), 'utf8'));
    expect(program.output()).not.toContain(password);
    expect(logs()).not.toContain(password);
    expect(await program.end('SIGINT')).toBe(0);
    expect(processesOf()).toEqual([]);
  });

  it('gives the tenant of a demo instances with accelerators free, before and after kill -9', async ({
    expect,
  }) => {
    {
      await using program = start('--demo');
      await untilReady(program);
      const instances = await cli('member', 'instance-list');
      expect(new Set(instances.map(({ host }) => host))).toEqual(
        new Set(['demo-gpu', 'demo-crypto-fpga', 'demo-recorded']),
      );
      const [gpu] = (await cli('admin', 'accelerator-list')).filter(
        ({ type, state, host }) => type === 'GPU' && state === 'available' && host === 'demo-gpu',
      );
      const [train] = instances.filter(({ name }) => name === 'train-1');
      await cli(
        'member',
        'attach-instance',
        String(train?.['id']),
        '--accelerator',
        String(gpu?.['id']),
      );
      await cli('admin', 'uninstall-driver', 'generic', '--backend', 'virtual');
      program.child.kill('SIGKILL');
      await program.ended;
    }
    await eventually(() => processesOf().length === 0, {
      timeoutMs: 120_000,
      what: 'nothing of a killed start is left',
      context: () => processesOf().join(' '),
    });
    await using again = start('--demo');
    await untilReady(again);
    const held = (await cli('member', 'accelerator-list')).filter(
      (row) => row['instance_id'] !== null,
    );
    expect(held).toMatchObject([{ type: 'GPU', state: 'attached', host: 'demo-gpu' }]);
    const backends = await cli('admin', 'backend-list');
    expect(
      backends.map(({ name }) => name),
      'what was uninstalled stays away',
    ).not.toContain('virtual');
    expect(await again.end('SIGTERM')).toBe(0);
  });

  it('starts again at once after kill -9 of everything, with another port', async ({ expect }) => {
    await using program = start();
    await untilReady(program);
    const before = parse(readFileSync(join(stateDir(), 'client.yaml'), 'utf8'));
    for (const pid of processesOf()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It died with its parent.
      }
    }
    await program.ended;
    await using again = start();
    await untilReady(again);
    const after = parse(readFileSync(join(stateDir(), 'client.yaml'), 'utf8'));
    expect(after.password).toBe(before.password);
    expect(await cli('reader', 'accelerator-list')).toEqual([]);
    expect(await again.end()).toBe(0);
  });

  it('without a state directory writes the connection file where the CLI looks, and leaves a foreign one alone', async ({
    expect,
  }) => {
    const env = {
      HOME: folder,
      XDG_STATE_HOME: join(folder, 's'),
      XDG_CONFIG_HOME: join(folder, 'c'),
    };
    const file = join(folder, 'c', 'cyborg', 'client.yaml');
    {
      await using program = startProgram('allInOne', { args: ['--listen', '127.0.0.1:0'], env });
      await untilReady(program);
      const listed = await runCli(['driver-list', '-f', 'value', '-c', 'id'], env);
      expect(listed).toMatchObject({ status: 0, stdout: 'fake\ngeneric\nspdk\n' });
      expect(statSync(file).mode & 0o777).toBe(0o600);
      expect(await program.end()).toBe(0);
    }
    mkdirSync(join(folder, 'c', 'cyborg'), { recursive: true });
    writeFileSync(file, 'url: https://cloud.example\n');
    await using again = startProgram('allInOne', { args: ['--listen', '127.0.0.1:0'], env });
    await untilReady(again);
    expect(readFileSync(file, 'utf8')).toBe('url: https://cloud.example\n');
    expect(again.output()).toContain(`${file} belongs to another installation`);
    expect(await again.end()).toBe(0);
  });

  it('is refused by the pid of the one that runs on the same directory', async ({ expect }) => {
    await using program = start();
    await eventually(() => program.output().includes('Cyborg serves'), {
      timeoutMs: readyTimeoutMs,
      what: 'serving',
      context: () => program.output(),
    });
    await using second = start();
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain(String(program.pid));
    expect(await program.end()).toBe(0);
  });
});

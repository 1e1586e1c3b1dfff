import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, globSync, lstatSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { makeTempFolder } from '@cyborg/testing/embedded';
import { eventually, freePort, startProgram } from '@cyborg/testing/processes';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { Fleet, actMs, type Host } from './fleet.ts';
import { commandOf } from './process-tree.ts';

const program = join(import.meta.dirname, '../../apps/inspect/src/main.ts');

interface Finding {
  readonly subject: string;
  readonly field: string;
  readonly verdict: string;
  readonly store: unknown;
  readonly agent: unknown;
  readonly host: unknown;
}

interface Inspected {
  readonly status: number;
  readonly findings: readonly Finding[];
}

function run(args: readonly string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [program, ...args], (_error, stdout, stderr) =>
      resolve({ status: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

/** A role that may only read: what needs more would fail. */
async function openReader(fleet: Fleet): Promise<{ url: string } & AsyncDisposable> {
  const role = `reader_${randomUUID().slice(0, 8)}`;
  await sql.raw(`create role ${role} login password 'reads'`).execute(fleet.db);
  await sql.raw(`grant select on all tables in schema public to ${role}`).execute(fleet.db);
  const url = new URL(fleet.databaseUrl);
  url.username = role;
  url.password = 'reads';
  return {
    url: url.href,
    async [Symbol.asyncDispose]() {
      await sql.raw(`drop owned by ${role}`).execute(fleet.db);
      await sql.raw(`drop role ${role}`).execute(fleet.db);
    },
  };
}

async function inspect(url: string, host: Host): Promise<Inspected> {
  const look = ['--hypervisor', 'simulated', '--simulated-dir', host.hypervisor];
  const { status, stdout, stderr } = await run([
    `--database-url=${url}`,
    `--host=${host.name}`,
    `--agent-state-dir=${host.stateDir}`,
    '--all',
    '--format=json',
    '--look',
    '--',
    `--sysfs-root=${host.sysfs}`,
    ...look,
  ]);
  if (stdout === '') throw new Error(`cyborg-inspect said nothing: ${status} ${stderr}`);
  const findings: Finding[] = JSON.parse(stdout);
  return { status, findings };
}

/** Every file of the host, with its content and when it was changed. */
function snapshot(folder: string): string[] {
  return globSync('**/*', { cwd: folder })
    .toSorted()
    .map((path) => {
      const file = join(folder, path);
      const { mtimeMs, mode } = lstatSync(file);
      const content = lstatSync(file).isFile() ? readFileSync(file, 'base64') : '';
      return `${path} ${mode} ${mtimeMs} ${content}`;
    });
}

describe('cyborg-inspect', () => {
  it('agrees with a host that is well, sees what is changed behind its back, and changes nothing', async ({
    expect,
  }) => {
    await using fleet = await Fleet.open();
    await fleet.startServer();
    const [host] = await fleet.addHosts(['host-1']);
    if (host === undefined) throw new Error('there is no host');
    const backends = [
      { name: 'pci', kind: 'pci', hosts: ['host-1'], config: {} },
      { name: 'soft', kind: 'virtual', hosts: ['host-1'], config: { crypto: 1, entropy: 0 } },
    ];
    await fleet.done(
      fleet.v3.installDriver({ params: { driver_id: 'generic' }, body: { backends } }),
    );
    await fleet.untilAttachable();
    await fleet.attach(await fleet.instance('host-1'), { driver: 'generic' });
    await using reader = await openReader(fleet);

    let wrong: readonly Finding[] = [];
    // What the agent has seen reaches the ledger a moment later.
    const well = await eventually(
      async () => {
        const now = await inspect(reader.url, host);
        wrong = now.findings.filter(({ verdict }) => verdict !== 'same');
        return wrong.length === 0 && now;
      },
      { timeoutMs: actMs, what: 'all agree', context: () => JSON.stringify(wrong) },
    );
    expect(well.status).toBe(0);
    const subjects = well.findings.map(({ subject }) => subject.split(' ')[0]);
    expect(new Set(subjects)).toEqual(
      new Set(['host', 'driver', 'backend', 'function', 'attachment', 'device']),
    );

    const drivers = host.drivers();
    await host.kill();
    await eventually(() => drivers.every((pid) => commandOf(pid) === ''), {
      timeoutMs: actMs,
      what: 'its drivers have ended with the agent',
    });
    const [device = ''] = host.devices();
    const [instance = ''] = globSync(`devices/*/${device}`, { cwd: host.hypervisor });
    rmSync(join(host.hypervisor, instance));
    const address = well.findings.find(({ subject }) => subject.startsWith('function '))?.subject;
    const bus = join(host.sysfs, 'bus/pci/devices');
    rmSync(join(bus, address?.split(' ')[1] ?? 'none'), { recursive: true });
    const before = snapshot(host.folder);

    const changed = await inspect(reader.url, host);
    expect(snapshot(host.folder)).toEqual(before);
    expect(changed.status).toBe(1);
    const differing = changed.findings.filter(({ verdict }) => verdict === 'differs');
    expect(new Set(differing.map(({ subject }) => subject))).toEqual(
      new Set([address, `device ${device}`]),
    );
    expect(differing.every((found) => JSON.stringify(found.agent).includes('unknown'))).toBe(true);
    const said = changed.findings.find(({ subject }) => subject.startsWith('device '));
    expect(said).toMatchObject({ store: expect.stringMatching(/^[0-9a-f-]{36}$/), host: 'none' });
  });

  it('says of a source that cannot be asked that it is unknown', async ({ expect }) => {
    const { status, stdout } = await run([
      '--database-url=postgresql://nobody@127.0.0.1:1/none',
      '--agent-state-dir=/none',
    ]);
    expect(status).toBe(3);
    expect(stdout).toContain('the store cannot be read');
    expect(stdout).toContain('the agent cannot be asked');
    expect(stdout).not.toContain('same');
  });

  it('finds the database that a server runs in its state directory, and starts none', async ({
    expect,
  }) => {
    using folder = makeTempFolder();
    const stateDir = join(folder.path, 'state');
    const asked = [`--state-dir=${stateDir}`, '--host=nobody'];
    const before = await run(asked);
    expect(before.status).toBe(3);
    expect(before.stdout).toContain(`no database runs in ${stateDir}`);
    expect(existsSync(stateDir)).toBe(false);

    const address = `127.0.0.1:${await freePort()}`;
    const args = ['run', '--state-dir', stateDir, '--listen', address, '--auth', 'none'];
    await using server = startProgram('server', { args });
    await eventually(
      async () => server.hasEnded() || (await fetch(`http://${address}/readyz`)).ok,
      { timeoutMs: 90_000, what: 'the server is ready', context: server.output },
    );
    const during = await run(asked);
    expect(during.status).toBe(3);
    expect(during.stdout).toContain('the ledger knows no host "nobody"');

    await server.end();
    expect((await run(asked)).stdout).toContain(`no database runs in ${stateDir}`);
  });

  it.for([
    [[], 'there is no source'],
    [['--look', '-f', 'xml'], '--format is xml'],
    [['--database-url', 'nonsense'], '--database-url'],
    [['--frobnicate'], '--frobnicate'],
  ] as const)('refuses %j', async ([args, words], { expect }) => {
    const { status, stdout, stderr } = await run(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(words);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});

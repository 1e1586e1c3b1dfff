/** What people see of a driver that fails, and how they start it again. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DesiredInstallation } from '@cyborg/api-spec/agent/desired';
import type { InstallationReport } from '@cyborg/api-spec/agent/report';
import { driverLimits } from '@cyborg/driver-host/limits';
import { describe, it } from 'vitest';

import {
  TestHost,
  instanceOne,
  makeBackend,
  makeInstallation,
  makeOrder,
} from '../../test/agent-under-test.ts';
import { FakeServer } from '../../test/fake-server.ts';

const quick = {
  ...driverLimits,
  deadlineMs: { ...driverLimits.deadlineMs, discover: 600_000 },
  restartFirstMs: 20,
  restartMaxMs: 50,
  crashesMax: 3,
};

function lastOf(
  { reports }: FakeServer,
  { id }: DesiredInstallation,
): InstallationReport | undefined {
  return reports
    .flatMap(({ installations }) => installations)
    .findLast((one) => one.installation_id === id);
}

function messagesOf(report: InstallationReport | undefined, level: string): string[] {
  return (report?.log ?? []).filter((line) => line.level === level).map(({ message }) => message);
}

async function startWith(config: Record<string, unknown>): Promise<{
  server: FakeServer;
  folder: string;
  backend: ReturnType<typeof makeBackend>;
  installation: DesiredInstallation;
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const server = await FakeServer.start();
  const host = await TestHost.make(server);
  const backend = makeBackend({ config });
  const installation = makeInstallation([backend]);
  server.installations = [installation];
  await host.start({ driverLimits: quick });
  return {
    server,
    folder: host.folder,
    backend,
    installation,
    [Symbol.asyncDispose]: async () => {
      await host[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe('a driver in quarantine', () => {
  it('shows its last lines, without secrets and bounded, and since when', async ({ expect }) => {
    await using running = await startWith({ mode: 'tell-and-crash', password: 'open sesame' });
    const { server, installation } = running;
    await server.until('quarantine', () => lastOf(server, installation)?.quarantined === true);
    const report = lastOf(server, installation);
    expect(report).toMatchObject({ state: 'failed' });
    expect(report?.reason).toContain('backend-restart');
    expect(report?.log?.length).toBe(50);
    const said = messagesOf(report, 'stderr');
    expect(said).toContain('logged in with ***');
    expect(said).toContain('api_key=*** refused');
    expect(said.at(-1)).toBe('about to crash, as asked');
    expect(messagesOf(report, 'agent').at(-1)).toBe('quarantined after 3 crashes');
    const everything = JSON.stringify(server.reports);
    expect(everything).not.toContain('sesame');
    expect(everything).not.toContain('k-0815');
    expect(server.violations).toEqual([]);
  });

  it('is started again when somebody asks for a restart', async ({ expect }) => {
    await using running = await startWith({ mode: 'crash-on-discover' });
    const { server, installation, backend } = running;
    await server.until('quarantine', () => lastOf(server, installation)?.quarantined === true);
    const crashes = messagesOf(lastOf(server, installation), 'agent').length;

    server.installations = [
      { ...installation, restart: 1, backends: [{ ...backend, discovery: 1 }] },
    ];
    server.changed();
    await server.until('the restart', () => lastOf(server, installation)?.restart === 1);
    await server.until('quarantined once more', () => {
      const report = lastOf(server, installation);
      return report?.quarantined === true && messagesOf(report, 'agent').length > crashes;
    });
    expect(messagesOf(lastOf(server, installation), 'agent')).toContain('restart asked for');
    expect(server.violations).toEqual([]);
  });
});

describe('a restart', () => {
  it('starts another process, keeps what is attached and lists the hardware again', async ({
    expect,
  }) => {
    await using running = await startWith({});
    const { server, installation, backend } = running;
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    const order = makeOrder('attach', { backend_id: backend.id, instance_id: instanceOne });
    server.order(order);
    await server.until('attached', () => server.outcomesOf(order).includes('attached'));
    const before = messagesOf(lastOf(server, installation), 'agent');

    server.installations = [
      { ...installation, restart: 1, backends: [{ ...backend, discovery: 1 }] },
    ];
    server.changed();
    await server.until('restarted', () => lastOf(server, installation)?.restart === 1);
    await server.until('discovered', () =>
      server.reports
        .flatMap(({ backends }) => backends)
        .some(({ discovery, state }) => discovery === 1 && state === 'ready'),
    );
    const after = messagesOf(lastOf(server, installation), 'agent');
    const starts = after.filter((line) => line.includes('started as process'));
    expect(before.filter((line) => line.includes('started as process'))).toHaveLength(1);
    expect(new Set(starts).size).toBe(2);
    expect(lastOf(server, installation)).toMatchObject({ state: 'ready', quarantined: false });
    const states = server.reports.flatMap(({ backends }) => backends).map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(['ready']));
    expect(server.violations).toEqual([]);
  });

  it('does not wait for a discovery that hangs', async ({ expect }) => {
    await using running = await startWith({ mode: 'hang-on-discover' });
    const { server, installation, backend } = running;
    const hangs = join(running.folder, 'driver-state', 'naughty', 'hangs');
    await expect.poll(() => existsSync(hangs)).toBe(true);
    server.installations = [
      {
        ...installation,
        restart: 1,
        generation: 2,
        backends: [{ ...backend, generation: 2, config: { mode: 'good' }, discovery: 1 }],
      },
    ];
    server.changed();
    // Its discovery may take ten minutes; this comes long before.
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    await server.until('told', () => lastOf(server, installation)?.restart === 1);
    expect(server.violations).toEqual([]);
  });
});

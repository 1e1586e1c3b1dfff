import { readFile } from 'node:fs/promises';
import { describe, it } from 'vitest';
import { FakeServer } from '../../test/fake-server.ts';
import { TestHost, makeBackend, makeInstallation, makeOrder } from '../../test/agent-under-test.ts';
import { driverLimits, streamLimits } from '@cyborg/driver-host/limits';

const quick = { ...driverLimits, restartFirstMs: 20, restartMaxMs: 50, crashesMax: 3 };
/** For drivers that hang: little for them, and enough for the good one beside them. */
const impatient = {
  ...quick,
  deadlineMs: { ...driverLimits.deadlineMs, discover: 2_500 },
  cancelGraceMs: 500,
};

function reasonOf(server: FakeServer, id: string): string {
  const reports = server.reports.flatMap(({ backends }) => backends);
  return reports.findLast((one) => one.backend_id === id)?.reason ?? '';
}

async function startWith(mode: string): Promise<{
  server: FakeServer;
  host: TestHost;
  good: ReturnType<typeof makeBackend>;
  bad: ReturnType<typeof makeBackend>;
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const server = await FakeServer.start();
  const host = await TestHost.make(server);
  const good = makeBackend({ name: 'good' });
  const bad = makeBackend({ name: 'bad', config: { mode } });
  // Two installations of one driver: two processes.
  server.installations = [makeInstallation([good]), makeInstallation([bad])];
  const limits = /hang|spin/.test(mode) ? impatient : quick;
  await host.start({ driverLimits: limits });
  return {
    server,
    host,
    good,
    bad,
    [Symbol.asyncDispose]: async () => {
      await host[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe('a driver that misbehaves harms only its own backends', () => {
  it.for([
    [
      'crash-on-discover',
      'quarantined after 3 crashes; the last: ended with status 3; its last words: about to crash',
    ],
    ['hang-on-discover', 'did not finish within 2500 ms'],
    [
      'spin-on-discover',
      'quarantined after 3 crashes; the last: it did not answer discover in time',
    ],
    ['flood-stdout', 'sent more than 200 messages per second that nobody asked for'],
    ['flood-notifications', 'sent more than 200 messages per second that nobody asked for'],
    ['garbage', 'wrote something that is not protocol to stdout: \\"Hello, I am'],
    ['huge-frame', 'announced a message of 4000000000 bytes'],
    ['nonsense', 'answered discover with something else than the protocol says: result.devices'],
  ])('%s', async ([mode, reason], { expect }) => {
    await using running = await startWith(mode ?? '');
    const { server, good, bad } = running;
    const wanted = (reason ?? '').replaceAll('\\"', '"');

    await server.until(wanted, () => reasonOf(server, bad.id).includes(wanted));
    await server.until('good', () => server.backendState(good.id) === 'ready');

    expect(['failed', 'stale']).toContain(server.backendState(bad.id));
    expect(server.violations).toEqual([]);
  });

  it('floods stderr: it is cut, and the driver works on', async ({ expect }) => {
    await using running = await startWith('flood-stderr');
    const { server, bad } = running;
    await server.until('ready', () => server.backendState(bad.id) === 'ready');
    expect(server.inventories.get(bad.id)?.devices).toHaveLength(1);
  });

  it('keeps the last good inventory as stale, and is tried again with a new configuration', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend();
    const installation = makeInstallation([backend]);
    server.installations = [installation];
    await host.start({ driverLimits: quick });
    await server.until('ready', () => server.backendState(backend.id) === 'ready');

    const worse = { ...backend, generation: 2, config: { mode: 'nonsense' } };
    server.installations = [{ ...installation, generation: 2, backends: [worse] }];
    server.changed();
    await server.until('stale', () => server.backendState(backend.id) === 'stale');
    expect(server.inventories.get(backend.id)?.devices).toHaveLength(1);

    const better = { ...backend, generation: 3, config: { count: 3 } };
    server.installations = [{ ...installation, generation: 3, backends: [better] }];
    server.changed();
    await server.until('again', () => server.inventories.get(backend.id)?.generation === 3);
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    expect(server.violations).toEqual([]);
  });

  it('says of a configuration that its driver refuses that it is refused, and takes the next', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend();
    const installation = makeInstallation([backend]);
    server.installations = [installation];
    await host.start({ driverLimits: quick });
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    const last = (): object | undefined =>
      server.reports.flatMap(({ backends }) => backends).at(-1);

    const wrong = { ...backend, generation: 2, config: { mode: 'no such mode' } };
    server.installations = [{ ...installation, generation: 2, backends: [wrong] }];
    server.changed();
    await server.until('failed', () => server.backendState(backend.id) === 'failed');
    expect(last()).toMatchObject({ generation: 2, refused: true });
    expect(reasonOf(server, backend.id)).toContain('no such mode');

    const better = { ...backend, generation: 3, config: { count: 3 } };
    server.installations = [{ ...installation, generation: 3, backends: [better] }];
    server.changed();
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    expect(last()).toMatchObject({ generation: 3 });
    expect(last()).not.toHaveProperty('refused');
    expect(server.violations).toEqual([]);
  });

  it('lets a quarantined driver try again when a discovery is asked for', async ({ expect }) => {
    await using running = await startWith('crash-on-discover');
    const { server, bad } = running;
    await server.until('quarantine', () => reasonOf(server, bad.id).includes('quarantined'));
    const before = server.reports.length;
    const [first, second] = server.installations;
    if (first === undefined || second === undefined) throw new Error('two installations');
    server.installations = [first, { ...second, backends: [{ ...bad, discovery: 1 }] }];
    server.changed();
    await server.until('quarantined once more', () =>
      server.reports
        .slice(before)
        .flatMap(({ backends }) => backends)
        .some(
          (one) =>
            one.backend_id === bad.id &&
            one.discovery === 1 &&
            (one.reason ?? '').includes('quarantined'),
        ),
    );
    expect(server.violations).toEqual([]);
  });
});

describe('installations', () => {
  it('replaces a version by another, and keeps the old one when the new one fails', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend();
    const installation = makeInstallation([backend]);
    const last = (): Record<string, unknown> | undefined =>
      server.reports.flatMap(({ installations }) => installations).at(-1);
    server.installations = [installation];
    await host.start({ driverLimits: quick });
    await server.until('ready', () => server.backendState(backend.id) === 'ready');

    server.installations = [{ ...installation, generation: 2, version: '2.0.0' }];
    server.changed();
    await server.until(
      '2.0.0',
      () => last()?.['running_version'] === '2.0.0' && last()?.['state'] === 'ready',
    );

    server.installations = [{ ...installation, generation: 3, version: '3.0.0' }];
    server.changed();
    await server.until('failed', () => last()?.['state'] === 'failed');
    expect(last()).toMatchObject({ generation: 3, running_version: '2.0.0' });
    expect(last()?.['reason']).toContain('this version is broken');

    server.installations = [{ ...installation, generation: 4, version: '9.9.9' }];
    server.changed();
    await server.until('no such version', () => String(last()?.['reason']).includes('9.9.9'));
    expect(last()).toMatchObject({
      state: 'failed',
      running_version: '2.0.0',
      reason: expect.stringContaining('this host has 1.0.0, 2.0.0, 3.0.0'),
    });

    const attach = makeOrder('attach', { backend_id: backend.id });
    server.order(attach);
    await server.until('attached', () => server.outcomesOf(attach).includes('attached'));
    expect(server.violations).toEqual([]);
  });

  it('keeps the old version when the new one does not take a backend', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend({ config: { mode: 'refuse-install-2' } });
    const installation = makeInstallation([backend]);
    server.installations = [installation];
    await host.start({ driverLimits: quick });
    await server.until('ready', () => server.backendState(backend.id) === 'ready');

    server.installations = [{ ...installation, generation: 2, version: '2.0.0' }];
    server.changed();
    await server.until('failed', () =>
      server.installationStates(installation.id).includes('failed'),
    );
    const reports = server.reports.flatMap(({ installations }) => installations);
    expect(reports.at(-1)).toMatchObject({ running_version: '1.0.0' });
    expect(reports.at(-1)?.reason).toContain('does not take this backend');
  });

  it('says what a person must do, takes a backend away, and removes the driver', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const blocked = makeBackend({ name: 'blocked', config: { mode: 'setup' } });
    const going = makeBackend({ name: 'going' });
    const installation = makeInstallation([blocked, going]);
    server.installations = [installation];
    await host.start({ driverLimits: quick });
    await server.until('blocked', () => server.backendState(blocked.id) === 'blocked');
    expect(reasonOf(server, blocked.id)).toBe('modprobe vfio-pci');
    await server.until('ready', () => server.backendState(going.id) === 'ready');

    server.installations = [
      { ...installation, generation: 2, backends: [blocked], removed_backends: [going] },
    ];
    server.changed();
    await server.until('backend removed', () => server.backendState(going.id) === 'removed');

    server.installations = [
      {
        ...installation,
        generation: 3,
        backends: [],
        removed_backends: [blocked],
        wanted: 'removed',
      },
    ];
    server.changed();
    await server.until(
      'removed',
      () => server.installationStates(installation.id).at(-1) === 'removed',
    );
    expect(server.backendState(blocked.id)).toBe('removed');
  });
});

describe('inventories', () => {
  it('cost one small request and no upload when nothing changed', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backends = [makeBackend({ name: 'a' }), makeBackend({ name: 'b' })];
    server.installations = [makeInstallation(backends)];
    await host.start({ inventoryIntervalMs: 300 });
    await server.until('ready', () =>
      backends.every(({ id }) => server.backendState(id) === 'ready'),
    );
    const isOffer = (name: string): boolean => name === 'POST /agent/v1/inventories';
    const before = server.requests.filter(isOffer).length;
    const uploads = (): number => server.requests.filter((name) => name.startsWith('PUT')).length;
    const uploadsBefore = uploads();
    await server.until('three rounds', () => server.requests.filter(isOffer).length >= before + 3);
    expect(uploads()).toBe(uploadsBefore);
  });

  it('are looked at again when a discovery is asked for, and say so when the server has them', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend();
    const installation = makeInstallation([backend]);
    server.installations = [installation];
    await host.start();
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    server.installations = [{ ...installation, backends: [{ ...backend, discovery: 7 }] }];
    server.changed();
    await server.until('discovered', () =>
      server.reports.flatMap(({ backends }) => backends).some(({ discovery }) => discovery === 7),
    );
    expect(server.violations).toEqual([]);
  });
});

describe.runIf(process.getuid?.() === 0)('behind the wall', () => {
  it('a driver is another user without network, also from folders closed to others', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server); // mkdtemp: mode 0700
    const backend = makeBackend();
    server.installations = [makeInstallation([backend])];
    await host.start();
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    const own = await childrenOf(process.pid);
    const drivers = own.filter(({ command }) => command.includes('naughty'));
    expect(drivers.map(({ command }) => command)).toHaveLength(1);
    const status = await readFile(`/proc/${drivers[0]?.pid}/status`, 'utf8');
    expect(status).toMatch(/^Uid:\s+65534\s+65534/m);
    expect(status).toMatch(/^NoNewPrivs:\s+1/m);
    expect(status).toMatch(/^CapEff:\s+0000000000000000/m);
    const limits = await readFile(`/proc/${drivers[0]?.pid}/limits`, 'utf8');
    const processesMax = Number(/^Max processes +(\d+)/m.exec(limits)?.[1]);
    expect(processesMax).toBeLessThanOrEqual(streamLimits.userThreadsMax);
  });
});

async function childrenOf(pid: number): Promise<{ pid: number; command: string }[]> {
  const { readdir } = await import('node:fs/promises');
  const found = [];
  for (const task of await readdir(`/proc/${pid}/task`)) {
    const text = await readFile(`/proc/${pid}/task/${task}/children`, 'utf8');
    for (const child of text.trim().split(/\s+/).filter(Boolean)) {
      found.push({ pid: Number(child), command: await readFile(`/proc/${child}/cmdline`, 'utf8') });
    }
  }
  return found;
}

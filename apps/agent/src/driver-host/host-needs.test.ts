/** A driver whose manifest needs something of its host, through a whole agent. */
import { describe, it } from 'vitest';
import { makeBackend, makeInstallation, TestHost } from '../../test/agent-under-test.ts';
import { FakeServer } from '../../test/fake-server.ts';
import { TestMachine } from '../../test/machine.ts';

async function openScene(kind: string) {
  const machine = await TestMachine.make();
  const server = await FakeServer.start();
  const host = await TestHost.make(server);
  const backend = makeBackend({ name: 'cards', kind });
  const installation = makeInstallation([backend], { driver_id: 'needy' });
  server.installations = [installation];
  const last = () =>
    server.reports
      .flatMap(({ installations }) => installations)
      .findLast((one) => one.installation_id === installation.id);
  const reason = (): string | null | undefined =>
    server.reports
      .flatMap(({ backends }) => backends)
      .findLast((one) => one.backend_id === backend.id)?.reason;
  return {
    machine,
    server,
    backend,
    installation,
    last,
    reason,
    start: (loadModules: string[] = []) =>
      host.start({
        roots: machine.roots,
        hostCommands: machine.commands,
        simulated: false,
        loadModules,
      }),
    async [Symbol.asyncDispose]() {
      await host[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await machine[Symbol.asyncDispose]();
    },
  };
}

describe('a driver that needs something of its host', () => {
  it('blocks its backend and says what to restart the host with; after that it goes on by itself', async ({
    expect,
  }) => {
    await using scene = await openScene('argument');
    const { server, backend, machine, last, reason } = scene;
    const agent = await scene.start();
    await server.until('blocked', () => last()?.state === 'blocked');
    expect(server.backendState(backend.id)).toBe('blocked');
    expect(reason()).toMatch(/intel_iommu=on or amd_iommu=on .*restart the host/);
    expect(last()?.reason).toContain(`cards: ${reason()}`);

    await agent[Symbol.asyncDispose]();
    machine.boot('quiet intel_iommu=on');
    await scene.start();
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    expect(last()).toMatchObject({ state: 'ready', reason: null });
    expect(server.violations).toEqual([]);
  });

  it('gets a module that host policy allows; without that it waits until somebody has loaded it', async ({
    expect,
  }) => {
    await using scene = await openScene('module');
    const { server, backend, installation, machine, last, reason } = scene;
    const agent = await scene.start();
    await server.until('blocked', () => last()?.state === 'blocked');
    expect(reason()).toContain('--load-module acme-card');
    // Without a restart of the agent: it looks again by itself, at once when somebody asks for a discovery.
    machine.load('acme_card');
    server.installations = [{ ...installation, backends: [{ ...backend, discovery: 1 }] }];
    server.changed();
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    await agent[Symbol.asyncDispose]();

    machine.boot('quiet');
    const next = await scene.start(['acme-card']);
    await server.until('loaded', () => machine.acts().includes('load acme-card'));
    const seen = server.reports.length;
    const isReadyAgain = (): boolean =>
      server.reports
        .slice(seen)
        .some(({ backends }) =>
          backends.some((one) => one.backend_id === backend.id && one.state === 'ready'),
        );
    await server.until(
      'ready again',
      () => isReadyAgain() || server.backendState(backend.id) === 'ready',
    );

    server.installations = [
      {
        ...installation,
        generation: 2,
        wanted: 'removed',
        backends: [],
        removed_backends: [backend],
      },
    ];
    server.changed();
    await server.until('removed', () => last()?.state === 'removed');
    expect(machine.modules()).toEqual([]);
    expect(machine.acts()).toEqual(['load acme-card', 'unload acme_card']);
    await next[Symbol.asyncDispose]();
  });
});

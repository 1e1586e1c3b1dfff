/** A version that comes up well and then keeps dying. */
import { driverLimits } from '@cyborg/driver-host/limits';
import { describe, it } from 'vitest';
import { makeBackend, makeInstallation, makeOrder, TestHost } from '../../test/agent-under-test.ts';
import { FakeServer } from '../../test/fake-server.ts';

const quick = { ...driverLimits, restartFirstMs: 20, restartMaxMs: 50, crashesMax: 3 };

async function openScene() {
  const server = await FakeServer.start();
  const host = await TestHost.make(server);
  const backend = makeBackend({ config: { mode: 'crash-later-2' } });
  const installation = makeInstallation([backend]);
  server.installations = [installation];
  const reports = () => server.reports.flatMap(({ installations }) => installations);
  return {
    server,
    host,
    backend,
    reports,
    last: () => reports().at(-1),
    want(version: string, generation: number): void {
      server.installations = [{ ...installation, version, generation }];
      server.changed();
    },
    async [Symbol.asyncDispose]() {
      await host[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe('a version that keeps dying soon after the update to it', () => {
  it('is left for the one before, which says why, also when the agent was restarted meanwhile', async ({
    expect,
  }) => {
    await using scene = await openScene();
    const { server, host, backend, last } = scene;
    const agent = await host.start({ driverLimits: quick });
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    const attach = makeOrder('attach', { backend_id: backend.id });
    server.order(attach);
    await server.until('attached', () => server.outcomesOf(attach).includes('attached'));

    scene.want('2.0.0', 2);
    const isBack = (): boolean => last()?.state === 'failed' && last()?.running_version === '1.0.0';
    await server.until('back', isBack);
    expect(last()).toMatchObject({
      generation: 2,
      reason: expect.stringMatching(/kept dying after the update: quarantined after 3 crashes/),
    });
    await server.until('works again', () => server.backendState(backend.id) === 'ready');
    expect(server.outcomesOf(attach)).not.toContain('failed');

    // The server has not heard of it yet: an agent that starts anew does not try the version once more.
    await agent[Symbol.asyncDispose]();
    const seen = scene.reports().length;
    await host.start({ driverLimits: quick });
    await server.until('back still', () => scene.reports().length > seen && isBack());
    expect(
      scene
        .reports()
        .slice(seen)
        .some((one) => one.running_version === '2.0.0'),
    ).toBe(false);

    scene.want('1.0.0', 3);
    await server.until('ready', () => last()?.state === 'ready' && last()?.generation === 3);
    expect(last()).toMatchObject({ running_version: '1.0.0' });
    expect(server.violations).toEqual([]);
  });
});

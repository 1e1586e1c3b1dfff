import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import type { Order } from '@cyborg/api-spec/agent/desired';
import { FakeServer } from '../../test/fake-server.ts';
import { TestHost, makeBackend, makeInstallation, makeOrder } from '../../test/agent-under-test.ts';

interface Scene extends AsyncDisposable {
  readonly server: FakeServer;
  readonly host: TestHost;
  readonly backend: string;
}

/** An agent that has seen all that its server wants, unless `early` is among it. */
async function makeScene(mode: string, early?: (backend: string) => Order): Promise<Scene> {
  const server = await FakeServer.start();
  const host = await TestHost.make(server);
  const backend = makeBackend({ config: { mode } });
  server.installations = [makeInstallation([backend])];
  if (early !== undefined) server.order(early(backend.id));
  await host.start();
  await server.until('ready', () => server.backendState(backend.id) === 'ready');
  return {
    server,
    host,
    backend: backend.id,
    [Symbol.asyncDispose]: async () => {
      await host[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

async function settle({ server }: Scene, order: Order, outcome: string): Promise<void> {
  await server.until(outcome, () => server.outcomesOf(order).includes(outcome));
}

/** Takes it back, as the ledger does after an attach that ended so, and cleans it. @returns the evidence */
async function clean(scene: Scene, attach: Order, epoch = attach.epoch + 1): Promise<unknown> {
  const { server } = scene;
  const detach = { ...attach, kind: 'detach' as const, epoch: attach.epoch + 1 };
  server.order(detach);
  await settle(scene, detach, 'released');
  const none = { attachment_id: null, instance_id: null };
  const order = { ...attach, ...none, kind: 'clean' as const, epoch, device_epoch: epoch };
  server.order(order);
  await settle(scene, order, 'cleaned');
  return server.outcomes.findLast(({ kind }) => kind === 'clean')?.evidence;
}

const nothing = ['nothing to wipe'];
const wiped = ['wiped'];

describe('what an attach has left is wiped', () => {
  it('unless it failed before a machine was told', async ({ expect }) => {
    await using scene = await makeScene('refuse-prepare');
    const attach = makeOrder('attach', { backend_id: scene.backend });
    scene.server.order(attach);
    await settle(scene, attach, 'failed');
    expect(await clean(scene, attach)).toEqual(nothing);
  });

  it('unless the hypervisor refused it before the machine was told', async ({ expect }) => {
    await using scene = await makeScene('good');
    const file = join(scene.host.hypervisorFolder, 'faults', 'refuse-plug');
    await writeFile(file, 'no port is free');
    const attach = makeOrder('attach', { backend_id: scene.backend });
    scene.server.order(attach);
    await settle(scene, attach, 'failed');
    expect(await clean(scene, attach)).toEqual(nothing);
  });

  it('when a machine had it', async ({ expect }) => {
    await using scene = await makeScene('good');
    const attach = makeOrder('attach', { backend_id: scene.backend });
    scene.server.order(attach);
    await settle(scene, attach, 'attached');
    expect(await clean(scene, attach)).toEqual(wiped);
  });

  it('when Nova may have given it', async ({ expect }) => {
    await using scene = await makeScene('refuse-prepare');
    const attach = makeOrder('attach', { backend_id: scene.backend, plugged_by: 'nova' });
    scene.server.order(attach);
    await settle(scene, attach, 'failed');
    expect(await clean(scene, attach)).toEqual(wiped);
  });

  it('when the agent before this one may have begun it', async ({ expect }) => {
    let attach: Order | undefined;
    await using scene = await makeScene('refuse-prepare', (backend_id) => {
      attach = makeOrder('attach', { backend_id });
      return attach;
    });
    if (attach === undefined) throw new Error('it was not ordered');
    await settle(scene, attach, 'failed');
    expect(await clean(scene, attach)).toEqual(wiped);
  });

  it('when somebody else may have had it since', async ({ expect }) => {
    await using scene = await makeScene('refuse-prepare');
    const attach = makeOrder('attach', { backend_id: scene.backend });
    scene.server.order(attach);
    await settle(scene, attach, 'failed');
    expect(await clean(scene, attach, attach.epoch + 3)).toEqual(wiped);
  });
});

describe('a cleaning of what the host uses', () => {
  it('waits for the host, saying so', async ({ expect }) => {
    await using scene = await makeScene('refuse-clean');
    const { server, backend } = scene;
    const order = makeOrder('clean', { backend_id: backend });
    server.order(order);
    await settle(scene, order, 'held');
    expect(server.outcomes.find(({ kind }) => kind === 'clean')?.message).toMatch(
      /its interface is up/u,
    );
  });
});

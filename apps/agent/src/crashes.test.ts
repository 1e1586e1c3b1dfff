/** The agent is killed at random points of attaching, detaching and cleaning; after a restart everything is settled. */
import { once } from 'node:events';
import { describe, it } from 'vitest';
import { deviceName } from '@cyborg/model/epoch';
import type { Order } from '@cyborg/api-spec/agent/desired';
import { systemClock } from '@cyborg/service/clock';
import { FakeServer } from '../test/fake-server.ts';
import {
  TestHost,
  instanceOne,
  makeBackend,
  makeInstallation,
  makeOrder,
} from '../test/agent-under-test.ts';

const killsMax = 8;
const lanes = 24;

/** One accelerator, given and taken again and again: each outcome brings the next order. */
class Lane {
  readonly #server: FakeServer;
  readonly #base: Order;
  epoch = 0;
  cycles = 0;
  current: Order;

  constructor(server: FakeServer, base: Order) {
    this.#server = server;
    this.#base = base;
    this.current = this.#next('attach');
  }

  /** Continues after what the server has taken. */
  step(isEnding: boolean): void {
    const [final] = this.#server
      .outcomesOf(this.current)
      .filter((outcome) => outcome !== 'retrying' && outcome !== 'held');
    if (final === undefined) return;
    const { kind } = this.current;
    if (final === 'refused' || final === 'failed')
      throw new Error(`${kind} ${final} ${JSON.stringify(this.#server.outcomes.at(-1))}`);
    if (kind === 'attach') this.current = this.#next('detach');
    else if (kind === 'detach') this.current = this.#next('clean');
    else {
      this.cycles += 1;
      if (!isEnding) this.current = this.#next('attach');
    }
  }

  get isSettled(): boolean {
    return (
      this.current.kind === 'clean' && this.#server.outcomesOf(this.current).includes('cleaned')
    );
  }

  #next(kind: Order['kind']): Order {
    this.epoch += 1;
    const fresh = makeOrder(kind);
    const attachment =
      kind === 'attach' ? fresh.attachment_id : (this.current?.attachment_id ?? null);
    const order: Order = {
      ...this.#base,
      kind,
      epoch: this.epoch,
      device_epoch: kind === 'attach' ? this.epoch : (this.current?.device_epoch ?? this.epoch),
      attachment_id: kind === 'clean' ? null : attachment,
      instance_id: kind === 'clean' ? null : instanceOne,
    };
    this.#server.order(order);
    return order;
  }
}

describe('an agent that is killed', () => {
  it('converges after every restart, with nothing lost and nothing plugged twice', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    server.leaseSeconds = 3;
    await using host = await TestHost.make(server);
    const backend = makeBackend({ config: { count: lanes } });
    server.installations = [makeInstallation([backend])];
    const all = Array.from(
      { length: lanes },
      (_, index) =>
        new Lane(
          server,
          makeOrder('attach', { backend_id: backend.id, accelerator_key: `acc-${index}` }),
        ),
    );
    const stepAll = (isEnding: boolean): boolean => {
      for (const lane of all) lane.step(isEnding);
      return isEnding && all.every((lane) => lane.isSettled);
    };
    for (let kill = 0; kill < killsMax; kill += 1) {
      const child = host.spawn();
      const target = all.reduce((sum, { cycles }) => sum + cycles, 0) + 5 + kill * 7;
      await server.until('some work', () => {
        stepAll(false);
        return all.reduce((sum, { cycles }) => sum + cycles, 0) >= target;
      });
      await systemClock.sleep(Math.random() * 40); // any point will do
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    host.spawn();
    await server.until('settled', () => stepAll(true));
    expect(await host.devices(instanceOne)).toEqual([]);
    expect(server.held.size).toBe(0);
    expect(server.outcomes.filter(({ outcome }) => outcome === 'refused')).toEqual([]);
    expect(server.violations).toEqual([]);
  }, 600_000);

  it('leaves in good order when asked to, and gives the lease back', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend();
    server.installations = [makeInstallation([backend])];
    const child = host.spawn();
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    const attach = makeOrder('attach', { backend_id: backend.id });
    server.order(attach);
    await server.until('attached', () => server.outcomesOf(attach).includes('attached'));
    child.kill('SIGTERM');
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
    expect(server.leases.at(-1)?.['leaving']).toBe(true);
    expect(await host.devices(instanceOne)).toEqual([deviceName(attach.attachment_id ?? '', 1)]);
  });
});

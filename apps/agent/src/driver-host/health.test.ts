/** Health that a driver tells beside its inventory: it reaches the server, gets well by itself, and holds nothing up. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DriverDevice, Inventory } from '@cyborg/driver-sdk/protocol';
import { driverLimits } from '@cyborg/driver-host/limits';
import { describe, it } from 'vitest';

import { TestHost, makeBackend, makeInstallation } from '../../test/agent-under-test.ts';
import { FakeServer } from '../../test/fake-server.ts';
import { withHealths } from './health.ts';

const well = { status: 'healthy', reason: null } as const;
const warm = { status: 'degraded', reason: 'it is warm' } as const;
const hot = { status: 'failed', reason: 'it is hot' } as const;

/** One card, only what health is about. */
function inventoryOf(keys: readonly string[], health: DriverDevice['health']): Inventory {
  const deployables = [{ accelerators: keys.map((key) => ({ key })) }];
  return { devices: [{ key: 'card', health, deployables }], services: [] } as unknown as Inventory;
}

const healthIn = ({ devices }: Inventory): unknown => devices[0]?.health;

describe('the health of a card', () => {
  it('is that of the worst of its accelerators, with its name', ({ expect }) => {
    const card = inventoryOf(['a', 'b', 'c'], well);
    expect(healthIn(withHealths(card, { a: well, b: warm, c: hot }))).toEqual({
      status: 'failed',
      reason: 'c: it is hot',
    });
    expect(healthIn(withHealths(inventoryOf(['a'], well), { a: warm }))).toEqual(warm);
  });

  it('is as the inventory says while only some are known, or none', ({ expect }) => {
    const card = inventoryOf(['a', 'b'], warm);
    expect(healthIn(withHealths(card, { a: well }))).toEqual(warm);
    expect(withHealths(card, { z: hot })).toEqual(card);
    expect(withHealths(card, {})).toBe(card);
  });

  it('gets better when all of its accelerators are, and is no worse for what is unknown', ({
    expect,
  }) => {
    const card = inventoryOf(['a', 'b'], hot);
    expect(healthIn(withHealths(card, { a: well, b: well }))).toEqual(well);
    const unknown = { status: 'unknown', reason: 'no sensor' } as const;
    expect(healthIn(withHealths(card, { a: well, b: unknown }))).toEqual(well);
  });
});

async function startWith(mode: string) {
  const server = await FakeServer.start();
  const host = await TestHost.make(server);
  const backend = makeBackend({ config: { mode } });
  const installation = makeInstallation([backend]);
  server.installations = [installation];
  const deadlineMs = { ...driverLimits.deadlineMs, health: 200 };
  // One that hangs is cut short; another may take its time.
  const limits =
    mode === 'hang-on-health' ? { ...driverLimits, deadlineMs, cancelGraceMs: 200 } : driverLimits;
  await host.start({ driverLimits: limits });
  let discovery = 0;
  return {
    server,
    host,
    backend,
    health: () => {
      const inventory = server.inventories.get(backend.id);
      return JSON.stringify(inventory?.devices[0]?.['health'] ?? null);
    },
    async discover() {
      discovery += 1;
      const wanted = discovery;
      server.installations = [{ ...installation, backends: [{ ...backend, discovery }] }];
      server.changed();
      await server.until(`discovery ${wanted}`, () =>
        server.reports
          .flatMap(({ backends }) => backends)
          .some((one) => one.discovery === wanted && one.state === 'ready'),
      );
    },
    async restart() {
      server.installations = [
        { ...installation, restart: 1, backends: [{ ...backend, discovery }] },
      ];
      server.changed();
      await server.until('restarted', () =>
        server.reports
          .flatMap(({ installations }) => installations)
          .some((one) => one.restart === 1),
      );
    },
    [Symbol.asyncDispose]: async () => {
      await host[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

describe('what a driver says of health', () => {
  it('is in the inventory, and gets well by itself', async ({ expect }) => {
    await using running = await startWith('sick-until-told');
    const { server, host } = running;
    await server.until('sick', () => running.health().includes('acc-1: the fan stands still'));
    expect(running.health()).toContain('"failed"');
    writeFileSync(join(host.folder, 'driver-state', 'naughty', 'well'), '');
    await running.discover();
    await server.until('well', () => running.health().includes('"healthy"'));
    expect(server.violations).toEqual([]);
  });

  it('is told with its figures', async ({ expect }) => {
    await using running = await startWith('good');
    const { server } = running;
    await running.discover();
    const stats = (): unknown =>
      server.reports.flatMap(({ installations }) => installations).at(-1)?.stats;
    // Figures travel with the next report: the end of the driver is one.
    await running.restart();
    await server.until('figures', () => JSON.stringify(stats()).includes('figures'));
    const figures = { is_busy: 1, temperature_celsius: 41 };
    expect(stats()).toEqual({ demo: { at: expect.any(String), figures } });
    expect(server.violations).toEqual([]);
  });

  it('holds up no discovery, and ends no driver, while it does not come', async ({ expect }) => {
    await using running = await startWith('hang-on-health');
    const { server } = running;
    for (let count = 0; count < 4; count += 1) await running.discover();
    // Its deadline and the grace of its cancellation are over by far.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await running.discover();
    const log = server.reports.flatMap(({ installations }) => installations).at(-1)?.log ?? [];
    const starts = log.filter(({ message }) => message.includes('started as process'));
    expect(starts).toHaveLength(1);
    expect(log.map(({ message }) => message).join('\n')).not.toContain('is down');
    expect(server.violations).toEqual([]);
  });
});

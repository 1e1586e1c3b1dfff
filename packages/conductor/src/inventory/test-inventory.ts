/** Inventories of a backend on a host, for the tests of this folder. */
import { systemClock } from '@cyborg/service/clock';
import { makeTestClock, type TestClock } from '@cyborg/testing/clock';
import { openTestDatabase, type TestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost } from '@cyborg/testing/fleet';

import { makeAgentHandlers, type AgentHandlers } from '../agents/handlers.ts';
import type { ConductorDeps } from '../deps.ts';
import { makeTestDeps } from '../test-deps.ts';

type Host = Awaited<ReturnType<typeof addHost>>;
type Backend = Awaited<ReturnType<typeof addBackend>>;

export interface Bench extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly clock: TestClock;
  readonly deps: ConductorDeps;
  readonly agents: AgentHandlers;
  readonly host: Host;
  readonly backend: Backend;
  put(devices: readonly unknown[], more?: Put): Promise<null>;
  accelerators(): Promise<{ key: string; state: string; reason: string | null }[]>;
}

interface Put {
  readonly backend?: Backend;
  readonly hash?: string;
  readonly generation?: number;
  readonly services?: readonly unknown[];
}

export async function openBench(limits: Parameters<typeof makeTestDeps>[1] = {}): Promise<Bench> {
  const database = await openTestDatabase();
  const clock = makeTestClock();
  const deps = makeTestDeps(
    { db: database.db, clock: { ...systemClock, now: () => clock.now() } },
    limits,
  );
  const agents = makeAgentHandlers(deps);
  const host = await addHost(database.db, { name: 'h', first_inventory_at: null });
  const backend = await addBackend(database.db, host, { name: 'pci', kind: 'pci' });
  return {
    database,
    clock,
    deps,
    agents,
    host,
    backend,
    put: (devices, more = {}) =>
      agents.putInventory(host, {
        params: { backend_id: (more.backend ?? backend).id },
        query: {},
        body: {
          instance: host.agent_instance ?? '',
          ledger: deps.ledger,
          hash: more.hash ?? JSON.stringify(devices).slice(0, 200) + String(Math.random()),
          generation: more.generation ?? 1,
          devices,
          services: more.services ?? [],
        },
      }),
    accelerators: () =>
      database.db
        .selectFrom('accelerator')
        .select(['key', 'state', 'reason'])
        .where('backend_id', '=', backend.id)
        .orderBy('key')
        .execute(),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

export interface Card {
  readonly address?: string;
  readonly offered?: boolean;
  readonly hostUse?: string | null;
  readonly reason?: string | null;
  readonly obstacle?: string | null;
  readonly health?: string;
  readonly traits?: readonly string[];
  readonly model?: string;
}

export function card(key: string, given: Card = {}): Record<string, unknown> {
  const { address = `0000:${key}:00.0`, offered = true, hostUse = null } = given;
  return {
    key,
    address,
    vendor_id: '0x10de',
    device_id: '0x2330',
    class: '0x030200',
    type: 'GPU',
    vendor: 'NVIDIA',
    model: given.model ?? null,
    serial: null,
    numa_node: 0,
    iommu_group: 7,
    kernel_driver: null,
    offered,
    reason: null,
    health: { status: given.health ?? 'healthy', reason: null },
    info: { link: 'x16', a: 'b' },
    deployables: [
      {
        key,
        name: `h_${key}`,
        resource_class: 'PGPU',
        traits: given.traits ?? ['OWNER_CYBORG', 'CUSTOM_H100'],
        accelerators: [
          {
            key,
            name: `gpu-${key}`,
            type: 'GPU',
            plans: ['pci'],
            offered,
            reason: given.reason ?? null,
            ...(given.obstacle !== undefined && { obstacle: given.obstacle }),
            host_use: hostUse,
            attach_info: { bus: key },
          },
        ],
      },
    ],
  };
}

export const gpuService = {
  name: 'gpu.compute',
  kind: 'function',
  state: 'up',
  reason: null,
  accelerators_total: 1,
  accelerators_offered: 1,
};

/** A host whose backend reports cards, one guest, and what a person and an agent do about them. */
import { toJson } from '@cyborg/store/json';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';

import { makeAcceleratorHandlers } from '../src/accelerators/handlers.ts';
import type { AcceleratorEdit } from '../src/accelerators/update-accelerator.ts';
import { makeAgentHandlers } from '../src/agents/handlers.ts';
import { makeAttachmentHandlers } from '../src/attachments/handlers.ts';
import type { ConductorDeps, Db } from '../src/deps.ts';
import { applyObservations } from '../src/orders/observations.ts';
import { obey } from '../src/test-agent.ts';
import { makeTestDeps } from '../src/test-deps.ts';
import { act } from '../src/transaction.ts';

const admin = callerOf('admin', 'alpha');
const plugs = ['pci'];

export async function openCards() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const healthy = { hypervisor: 'qemu', healthy: true, reason: null, plugs };
  const host = await addHost(db, { name: 'node-1', plugs: toJson([healthy]) });
  const backend = await addBackend(db, host, { name: 'pci', kind: 'pci' });
  const guest = await addInstance(db, host, { name: 'vm-1', plugs: toJson(plugs) });
  const agents = makeAgentHandlers(deps);
  let looks = 0;
  const put = (...devices: readonly unknown[]): Promise<null> =>
    agents.putInventory(host, {
      params: { backend_id: backend.id },
      query: {},
      body: {
        instance: host.agent_instance ?? '',
        ledger: deps.ledger,
        hash: String((looks += 1)),
        generation: 1,
        devices,
        services: [],
      },
    });
  return { database, db, deps, host, guest, put, ...actsOf({ db, deps, guest }) };
}

/** One card, which the guest has. */
export async function openHeld(held: Record<string, unknown>) {
  const bench = await openCards();
  await bench.put(held);
  await bench.attach({});
  await obey(bench.deps, bench.host);
  return bench;
}

interface Ends {
  readonly db: Db;
  readonly deps: ConductorDeps;
  readonly guest: { readonly id: string };
}

function actsOf({ db, deps, guest }: Ends) {
  const attach = (body: object) =>
    makeAttachmentHandlers(deps).createAttachments(admin, {
      params: { instance_id: guest.id },
      query: {},
      body,
    });
  const rows = () => db.selectFrom('accelerator').selectAll().orderBy('key').execute();
  const states = async () => (await rows()).map((row) => `${row.key} ${row.state} ${row.presence}`);
  const update = async (key: string, body: AcceleratorEdit) => {
    const row = (await rows()).find((one) => one.key === key);
    return makeAcceleratorHandlers(deps).updateAccelerator(admin, {
      params: { id: row?.id ?? '' },
      query: {},
      body,
    });
  };
  const identify = async (appeared: string, gone: string) => {
    const known = await rows();
    const idOf = (key: string): string => known.find((row) => row.key === key)?.id ?? '';
    return makeAcceleratorHandlers(deps).identifyAccelerator(admin, {
      params: { id: idOf(appeared) },
      query: {},
      body: { same_as: idOf(gone), reason: 'moved by hand' },
    });
  };
  const detach = () =>
    makeAttachmentHandlers(deps).deleteAttachments(admin, {
      params: { instance_id: guest.id },
      query: {},
      body: undefined,
    });
  const attachment = () =>
    db
      .selectFrom('attachment')
      .selectAll()
      .where('state', '<>', 'released')
      .executeTakeFirstOrThrow();
  return { attach, detach, rows, states, update, identify, attachment };
}

/** The agent's look: the instance has the attachment's device no more. */
export async function observeMissing(
  { deps, host }: Pick<Awaited<ReturnType<typeof openCards>>, 'deps' | 'host'>,
  { id, epoch }: { readonly id: string; readonly epoch: number },
): Promise<void> {
  const observations = [{ attachment_id: id, epoch, observed: 'missing' as const }];
  await act(deps, (current) => applyObservations(current, deps, { host, observations }));
}

interface Card {
  readonly serial?: string;
  readonly device?: string;
}

/** As the generic driver names it: by its serial number, or by its slot. */
export function card(
  bus: string,
  { serial, device = '0x0010' }: Card = {},
): Record<string, unknown> {
  const address = `0000:${bus}:00.0`;
  const key = serial === undefined ? `slot-${bus}` : `serial-${serial}`;
  const fn = { domain: '0000', bus, device: '00', function: '0' };
  return {
    key,
    address,
    vendor_id: '0x1b36',
    device_id: device,
    class: '0x010802',
    type: 'SSD',
    vendor: null,
    model: null,
    serial: serial ?? null,
    numa_node: null,
    iommu_group: null,
    kernel_driver: null,
    offered: true,
    reason: null,
    health: { status: 'healthy', reason: null },
    info: {},
    deployables: [
      {
        key,
        name: `h_${address}`,
        resource_class: 'CUSTOM_NVME',
        traits: [],
        accelerators: [
          {
            key,
            name: `nvme-${address}`,
            type: 'SSD',
            plans: plugs,
            offered: true,
            reason: null,
            host_use: null,
            attach_info: fn,
          },
        ],
      },
    ],
  };
}

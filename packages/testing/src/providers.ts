/** What v2 can bind, written straight into a test's database: a deployable with TEST_PCI handles, as `fake` reports it. */
import { randomUUID } from 'node:crypto';

import { toJson } from '@cyborg/store/json';
import type { AcceleratorTable } from '@cyborg/store/schema-inventory';
import type { Database, DeviceProfileTable } from '@cyborg/store/schema';
import type { Insertable, Kysely, Selectable } from 'kysely';

import { addAccelerators, fleetMadeAt } from './fleet.ts';

type Db = Kysely<Database>;

export interface Provider {
  readonly rpUuid: string;
  readonly deployableId: string;
  readonly accelerators: readonly Selectable<AcceleratorTable>[];
}

/** One deployable with so many handles, bus 0c, and a resource provider. */
export async function addProvider(
  db: Db,
  backend: { readonly id: string; readonly host_id: string; readonly driver_id: string },
  { count, ...changes }: { readonly count: number } & Partial<Insertable<AcceleratorTable>>,
): Promise<Provider> {
  const rpUuid = randomUUID();
  const accelerators: Selectable<AcceleratorTable>[] = [];
  for (let index = 0; index < count; index++) {
    const [first] = accelerators;
    const ends =
      first === undefined ? {} : { deployable_id: first.deployable_id, device_id: first.device_id };
    const made = await addAccelerators(db, backend, {
      count: 1,
      type: 'FPGA',
      resource_class: 'FPGA',
      plans: toJson(['test-pci']),
      attach_info: toJson({
        domain: '0000',
        bus: '0c',
        device: `${index >> 3}`,
        function: `${index & 7}`,
      }),
      ...ends,
      ...changes,
    });
    accelerators.push(...made);
  }
  const deployableId = accelerators[0]?.deployable_id ?? '';
  await db
    .updateTable('deployable')
    .set({ rp_uuid: rpUuid, resource_class: 'FPGA' })
    .where('id', '=', deployableId)
    .execute();
  return { rpUuid, deployableId, accelerators };
}

export function addProfile(
  db: Db,
  { name, groups }: { readonly name: string; readonly groups: readonly Record<string, string>[] },
): Promise<Selectable<DeviceProfileTable>> {
  return db
    .insertInto('device_profile')
    .values({
      id: randomUUID(),
      name,
      description: null,
      groups: JSON.stringify(groups),
      created_at: fleetMadeAt,
      updated_at: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

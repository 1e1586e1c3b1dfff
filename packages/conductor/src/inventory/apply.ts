/**
 * Makes the ledger say what a driver reported of one backend. Nothing is deleted on absence (promise 3): what is missing
 * becomes `absent` with a since-time, and whoever holds it keeps it.
 */
import { firstEpoch } from '@cyborg/model/epoch';
import { providerOf } from '@cyborg/model/v2/provider';
import { v2TypeOf } from '@cyborg/model/v2/types';
import { insertMany, updateMany } from '@cyborg/store/bulk';
import { sql } from 'kysely';

import type { ConductorDeps } from '../deps.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import type { Applying, DeployableIds, InventoryTarget } from './applying.ts';
import { readDoubts } from './doubts.ts';
import { followReturned } from './moved.ts';
import { applyAttributes } from './attributes.ts';
import { offeringOfNew, settleOfferings } from './offerings.ts';
import { acceleratorsOf, type ReportedDevice, type ReportedInventory } from './parse.ts';
import {
  acceleratorFacts,
  acceleratorFactsOf,
  deployableFacts,
  deviceFacts,
  deviceFactsOf,
  differences,
  readKnown,
  type Absence,
  type AcceleratorFacts,
  type AcceleratorRow,
} from './rows.ts';
import { applyServices } from './services.ts';
import { withPrograms } from './programs.ts';
import { letOthersLookAgain, readTaken } from './taken.ts';

/** @returns whether anything changed. */
export async function applyInventory(
  deps: Pick<ConductorDeps, 'rng' | 'ledger'>,
  act: Act,
  given: { readonly backend: InventoryTarget; readonly inventory: ReportedInventory },
): Promise<boolean> {
  const known = await readKnown(act.tx, given.backend);
  const inventory = withPrograms(given.inventory, known, given.backend.driver_id);
  const applying: Applying = { deps, act, ...given, inventory, known, events: [] };
  const deviceIds = await applyDevices(applying);
  const deployableIds = await applyDeployables(applying, deviceIds);
  await applyAttributes(applying, deployableIds);
  await applyAccelerators(applying, { deviceIds, deployableIds });
  await applyServices(applying);
  await recordEvents(act, applying.events);
  return applying.events.length > 0;
}

function deviceEvent(
  { backend }: Applying,
  kind: NewEvent['kind'],
  { id, data }: { id: string; data: Readonly<Record<string, unknown>> },
): NewEvent {
  return { kind, subjectKind: 'device', subjectId: id, hostId: backend.host_id, data };
}

async function applyDevices(applying: Applying): Promise<ReadonlyMap<string, string>> {
  const { inventory, known, act, events, backend } = applying;
  const byKey = new Map(known.devices.map((row) => [row.key, row]));
  const ids = new Map<string, string>();
  const added = [];
  const changed = [];
  for (const device of inventory.devices) {
    const facts = deviceFactsOf(device);
    const row = byKey.get(device.key);
    const id = row?.id ?? applying.deps.rng.uuid();
    ids.set(device.key, id);
    if (row === undefined) {
      added.push({ id, key: device.key, ...ownership(backend), ...facts, created_at: act.now });
      events.push(deviceEvent(applying, 'device.added', { id, data: summaryOf(device) }));
      continue;
    }
    const differing = differences(row, facts, deviceFacts);
    if (differing.length === 0) continue;
    changed.push({ id, ...facts, updated_at: act.now });
    const kind = row.presence === 'absent' ? 'device.returned' : 'device.changed';
    events.push(
      deviceEvent(applying, kind, { id, data: { ...summaryOf(device), changed: differing } }),
    );
  }
  await insertMany(act.tx, {
    table: 'device',
    columns: ['id', 'key', 'host_id', 'backend_id', ...deviceFacts, 'created_at'],
    rows: added,
  });
  await updateMany(act.tx, {
    table: 'device',
    columns: [...deviceFacts, 'updated_at'],
    rows: changed,
  });
  await markAbsentDevices(applying, ids);
  return ids;
}

function ownership(backend: InventoryTarget): { host_id: string; backend_id: string } {
  return { host_id: backend.host_id, backend_id: backend.id };
}

function summaryOf(device: ReportedDevice): Readonly<Record<string, unknown>> {
  return {
    key: device.key,
    address: device.address,
    type: device.type,
    accelerators: acceleratorsOf(device).length,
  };
}

async function markAbsentDevices(
  applying: Applying,
  reported: ReadonlyMap<string, string>,
): Promise<void> {
  const { known, act, events } = applying;
  const gone = known.devices.filter((row) => row.presence === 'present' && !reported.has(row.key));
  if (gone.length === 0) return;
  await act.tx
    .updateTable('device')
    .set({ presence: 'absent', absent_since: act.now, updated_at: act.now })
    .where('id', '=', sql<string>`any(${gone.map(({ id }) => id)}::uuid[])`)
    .execute();
  for (const { id, key, address } of gone) {
    events.push(deviceEvent(applying, 'device.absent', { id, data: { key, address } }));
  }
}

async function applyDeployables(
  { inventory, known, act, deps }: Applying,
  deviceIds: ReadonlyMap<string, string>,
): Promise<DeployableIds> {
  const nameOf = (deviceId: string, key: string): string => `${deviceId} ${key}`;
  const byName = new Map(known.deployables.map((row) => [nameOf(row.device_id, row.key), row]));
  const ids = new Map<string, string>();
  const added = [];
  const changed = [];
  for (const device of inventory.devices) {
    const deviceId = idIn(deviceIds, device.key);
    const in_v2 = v2TypeOf(device.type) !== null;
    for (const deployable of device.deployables) {
      const { key, name, resource_class, traits } = deployable;
      const row = byName.get(nameOf(deviceId, key));
      const id = row?.id ?? deps.rng.uuid();
      const rp_uuid = in_v2 ? providerOf(deployable) : null;
      const facts = { name, resource_class, traits, in_v2, rp_uuid };
      ids.set(nameOf(deviceId, key), id);
      if (row === undefined) {
        added.push({ id, device_id: deviceId, key, ...facts, created_at: act.now });
      } else if (differences(row, facts, deployableFacts).length > 0) {
        changed.push({ id, ...facts, updated_at: act.now });
      }
    }
  }
  await insertMany(act.tx, {
    table: 'deployable',
    columns: ['id', 'device_id', 'key', ...deployableFacts, 'created_at'],
    rows: added,
  });
  await updateMany(act.tx, {
    table: 'deployable',
    columns: [...deployableFacts, 'updated_at'],
    rows: changed,
  });
  return (deviceKey, key) => idIn(ids, nameOf(idIn(deviceIds, deviceKey), key));
}

function idIn(ids: ReadonlyMap<string, string>, key: string): string {
  const id = ids.get(key);
  if (id === undefined) throw new Error(`no id was made for ${key}`);
  return id;
}

async function applyAccelerators(
  applying: Applying,
  ids: { deviceIds: ReadonlyMap<string, string>; deployableIds: DeployableIds },
): Promise<void> {
  const { inventory, known, act } = applying;
  const takenBy = await readTaken(applying);
  const doubtOf = readDoubts(applying);
  const byKey = new Map(known.accelerators.map((row) => [row.key, row]));
  const reported = new Set<string>();
  const added: NewAccelerator[] = [];
  const changed = new Map<string, AcceleratorFacts | Absence>();
  for (const device of inventory.devices) {
    for (const deployable of device.deployables) {
      const place = {
        device,
        deviceId: idIn(ids.deviceIds, device.key),
        deployable,
        deployableId: ids.deployableIds(device.key, deployable.key),
      };
      for (const item of deployable.accelerators) {
        const row = byKey.get(item.key);
        const facts = acceleratorFactsOf(item, {
          ...place,
          takenBy: takenBy(item, { address: device.address, known: row }),
          doubt: doubtOf(item, { device, known: row }),
        });
        reported.add(item.key);
        if (row === undefined) added.push({ key: item.key, name: item.name, facts });
        else if (isNews(row, facts)) changed.set(row.id, facts);
      }
    }
  }
  const gone = known.accelerators.filter(
    (row) => row.presence === 'present' && !reported.has(row.key),
  );
  for (const row of gone) changed.set(row.id, absentNow(act));
  if (gone.length > 0) await letOthersLookAgain(applying);
  await addAccelerators(applying, added);
  await settleOfferings(applying, changed);
  await followReturned(applying, changed);
}

/** An orphaned one is attached again by being reported, though nothing about it has changed. */
function isNews(row: AcceleratorRow, facts: AcceleratorFacts): boolean {
  return row.state === 'orphaned' || differences(row, facts, acceleratorFacts).length > 0;
}

/** Nothing else of the row, which was read without a lock: somebody may be taking it at this moment. */
function absentNow({ now }: Act): Absence {
  return { presence: 'absent', absent_since: now };
}

interface NewAccelerator {
  readonly key: string;
  readonly name: string;
  readonly facts: AcceleratorFacts;
}

async function addAccelerators(
  { act, backend, deps }: Applying,
  added: readonly NewAccelerator[],
): Promise<void> {
  await insertMany(act.tx, {
    table: 'accelerator',
    columns: [
      'id',
      'key',
      'name',
      'host_id',
      'backend_id',
      'driver_id',
      ...acceleratorFacts,
      'state',
      'reason',
      'epoch',
      'labels',
      'created_by_request',
      'attempts',
      'created_at',
    ],
    rows: added.map(({ key, name, facts }) => ({
      id: deps.rng.uuid(),
      key,
      name,
      driver_id: backend.driver_id,
      ...ownership(backend),
      ...facts,
      ...offeringOfNew(facts),
      epoch: firstEpoch(deps.ledger.incarnation),
      labels: {},
      created_by_request: false,
      attempts: 0,
      created_at: act.now,
    })),
  });
}

import type { Caller } from '@cyborg/model/caller';
import { notFound, type V2Fault } from '@cyborg/model/v2/fault';
import { toUuid } from '@cyborg/model/v2/uuid';
import {
  deviceSorts,
  findV2Device,
  setDeviceStatus,
  streamDevices,
  type V2DeviceRow,
} from '@cyborg/store/v2/devices';

import type { ConductorDeps, Db } from '../deps.ts';
import { pushReserved } from '../placement/raise-reserved.ts';
import { recordEvents } from '../record-event.ts';
import { act } from '../transaction.ts';
import { orderOf, parseFilters, type Query } from './filters.ts';

export interface V2DeviceHandlers {
  readonly listDevices: (query: Query) => AsyncIterable<readonly V2DeviceRow[]>;
  /** @throws V2Fault 404, for what is no UUID too. */
  readonly showDevice: (id: string) => Promise<V2DeviceRow>;
  /** Placement has it by the answer, or follows by itself. A status that it has already changes nothing. */
  readonly setDeviceStatus: (caller: Caller, given: StatusChange) => Promise<void>;
}

export interface StatusChange {
  readonly id: string;
  readonly status: 'enabled' | 'maintaining';
}

export function makeV2DeviceHandlers(deps: ConductorDeps): V2DeviceHandlers {
  return {
    listDevices(query) {
      const { type, vendor, hostname } = query;
      const filter = { type, vendor, hostname };
      const isFiltered = Object.values(filter).some((value) => value !== undefined);
      const order = orderOf(parseFilters(query), { sorts: deviceSorts, isFiltered });
      return streamDevices(deps.db, { filter, ...order });
    },
    showDevice: (id) => findDevice(deps.db, id),
    async setDeviceStatus(caller, given) {
      const deviceId = await writeStatus(deps, caller, given);
      if (deviceId !== undefined) await pushReserved(deps, await partsOf(deps.db, deviceId));
    },
  };
}

/** @returns the device's id when it had another status before. */
function writeStatus(
  deps: ConductorDeps,
  caller: Caller,
  { id, status }: StatusChange,
): Promise<string | undefined> {
  return act(deps, async (running) => {
    const row = await findDevice(running.tx, id);
    const change = { id: row.id, status, now: running.now };
    if (!(await setDeviceStatus(running.tx, change))) return undefined;
    await recordEvents(running, [
      {
        kind: status === 'enabled' ? 'device.enabled' : 'device.disabled',
        subjectKind: 'device',
        subjectId: row.id,
        hostId: row.host_id,
        userId: caller.userId,
        data: { address: row.address },
      },
    ]);
    running.wakeUps.add('work');
    return row.id;
  });
}

async function partsOf(db: Db, deviceId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('accelerator')
    .select('id')
    .where('device_id', '=', deviceId)
    .execute();
  return rows.map(({ id }) => id);
}

async function findDevice(db: Db, given: string): Promise<V2DeviceRow> {
  const id = toUuid(given);
  const row = id === undefined ? undefined : await findV2Device(db, id);
  if (row === undefined) throw missing(given);
  return row;
}

function missing(id: string): V2Fault {
  return notFound('Device', `with uuid=${id}`);
}

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
import { recordEvents } from '../record-event.ts';
import { act } from '../transaction.ts';
import { orderOf, parseFilters, type Query } from './filters.ts';

export interface V2DeviceHandlers {
  readonly listDevices: (query: Query) => AsyncIterable<readonly V2DeviceRow[]>;
  /** @throws V2Fault 404, for what is no UUID too. */
  readonly showDevice: (id: string) => Promise<V2DeviceRow>;
  /** Placement follows by itself. A status that it has already changes nothing. */
  readonly setDeviceStatus: (
    caller: Caller,
    given: { readonly id: string; readonly status: 'enabled' | 'maintaining' },
  ) => Promise<void>;
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
    setDeviceStatus: (caller, { id, status }) =>
      act(deps, async (running) => {
        const row = await findDevice(running.tx, id);
        const change = { id: row.id, status, now: running.now };
        if (!(await setDeviceStatus(running.tx, change))) return;
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
      }),
  };
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

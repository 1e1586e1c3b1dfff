/** Device profiles as v2 knows them; v3's are the same rows. */
import type { Caller } from '@cyborg/model/caller';
import { V2Fault, notFound } from '@cyborg/model/v2/fault';
import { toUuid } from '@cyborg/model/v2/uuid';
import {
  deleteDeviceProfile,
  findDeviceProfile,
  insertDeviceProfile,
  listProfileUsers,
  lockDeviceProfile,
  type DeviceProfileRow,
} from '@cyborg/store/device-profiles';
import { toJson } from '@cyborg/store/json';
import { streamProfiles } from '@cyborg/store/v2/profiles';

import type { ConductorDeps, Db } from '../deps.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';
import { parseV2Profile, type NewV2Profile } from './profile-body.ts';

export interface V2ProfileHandlers {
  /** @param names  undefined = all. */
  readonly listProfiles: (
    names: readonly string[] | undefined,
  ) => AsyncIterable<readonly DeviceProfileRow[]>;
  /** By UUID, or by name. @throws V2Fault 404 */
  readonly showProfile: (idOrName: string) => Promise<DeviceProfileRow>;
  /** @throws V2Fault */
  readonly createProfile: (caller: Caller, body: unknown) => Promise<DeviceProfileRow>;
  /** All of them or, when one is missing or in use, none. @throws V2Fault 404, 409 */
  readonly deleteProfiles: (caller: Caller, idsOrNames: readonly string[]) => Promise<void>;
}

export function makeV2ProfileHandlers(deps: ConductorDeps): V2ProfileHandlers {
  return {
    listProfiles: (names) => streamProfiles(deps.db, { names }),
    showProfile: (idOrName) => findProfile(deps.db, idOrName),
    createProfile(caller, body) {
      const wanted = parseV2Profile(body);
      return act(deps, (running) => create(running, deps, { caller, wanted }));
    },
    deleteProfiles: (caller, idsOrNames) =>
      act(deps, (running) => removeAll(running, caller, idsOrNames)),
  };
}

async function findProfile(db: Db, idOrName: string): Promise<DeviceProfileRow> {
  const id = toUuid(idOrName);
  const row = await findDeviceProfile(db, id === undefined ? { name: idOrName } : { id });
  if (row !== undefined) return row;
  const by = id === undefined ? 'name' : 'uuid';
  throw notFound('Device Profile', `with ${by}=${idOrName}`);
}

async function create(
  running: Act,
  { rng }: Pick<ConductorDeps, 'rng'>,
  { caller, wanted }: { readonly caller: Caller; readonly wanted: NewV2Profile },
): Promise<DeviceProfileRow> {
  const { uuid, name, description, groups } = wanted;
  if (uuid !== undefined && (await findDeviceProfile(running.tx, { id: uuid })) !== undefined) {
    throw new V2Fault(500, `DeviceProfile with uuid ${uuid} already exists.`);
  }
  const row = await insertDeviceProfile(running.tx, {
    id: uuid ?? rng.uuid(),
    name,
    description,
    groups: toJson(groups),
    created_at: running.now,
    updated_at: null,
  });
  if (row === undefined)
    throw new V2Fault(409, `A device_profile with name ${name} already exists.`);
  await recordEvents(running, [eventOf('profile.created', row, caller)]);
  return row;
}

async function removeAll(
  running: Act,
  caller: Caller,
  idsOrNames: readonly string[],
): Promise<void> {
  const { tx } = running;
  const found = new Map<string, DeviceProfileRow>();
  for (const idOrName of idsOrNames) {
    const row = await findProfile(tx, idOrName);
    found.set(row.id, row);
  }
  const rows = [...found.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
  for (const { id } of rows) await lockDeviceProfile(tx, id);
  for (const row of rows) {
    const users = await listProfileUsers(tx, row.id);
    if (users.length > 0) {
      throw new V2Fault(
        409,
        `Device profile ${row.name} is in use by ${users.length} accelerator requests: delete them first.`,
      );
    }
    await deleteDeviceProfile(tx, row.id);
  }
  await recordEvents(
    running,
    rows.map((row) => eventOf('profile.deleted', row, caller)),
  );
}

function eventOf(kind: NewEvent['kind'], row: DeviceProfileRow, caller: Caller): NewEvent {
  return {
    kind,
    subjectKind: 'profile',
    subjectId: row.id,
    userId: caller.userId,
    data: { name: row.name, groups: row.groups },
  };
}

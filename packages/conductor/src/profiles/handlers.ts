import { isAdmin, type Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import {
  deleteDeviceProfile,
  insertDeviceProfile,
  listDeviceProfiles,
  listProfileUsers,
  lockDeviceProfile,
  type DeviceProfileRow,
  type ProfileUser,
} from '@cyborg/store/device-profiles';
import { toJson } from '@cyborg/store/json';
import type { ProfileGroup } from '@cyborg/store/schema';

import type { ConductorDeps, Db } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import { checkIfMatch } from '../etag.ts';
import type { DryRunQuery, Handler, Input } from '../handler.ts';
import { idempotently } from '../idempotency.ts';
import { badMarker, fromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';
import { findProfile } from './find-profile.ts';
import { normalizeGroups } from './grammar.ts';

export interface ProfileView {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly groups: readonly ProfileGroup[];
  readonly created_at: Date;
  readonly updated_at: Date | null;
}

export interface NewProfile {
  readonly name: string;
  readonly description?: string;
  readonly groups: readonly ProfileGroup[];
}

type ByProfile = { readonly profile: string };

export interface ProfileHandlers {
  readonly listProfiles: Handler<Input<object, PageQuery>, Page<ProfileView>>;
  readonly showProfile: Handler<Input<ByProfile>, ProfileView>;
  readonly createProfile: Handler<Input<object, DryRunQuery, NewProfile>, ProfileView | DryRunView>;
  readonly deleteProfile: Handler<Input<ByProfile, DryRunQuery>, null | DryRunView>;
}

export function makeProfileHandlers(deps: ConductorDeps): ProfileHandlers {
  return {
    async listProfiles(_caller, { query }) {
      const rows = await listDeviceProfiles(deps.db, {
        after: numberOf(query.marker),
        limit: rowsWanted(query),
      });
      return toPage(rows, query, { keyOf: (row) => [String(row.number)], toItem: toProfileView });
    },
    showProfile: async (_caller, { params }) =>
      toProfileView(await findProfile(deps.db, params.profile)),
    async createProfile(caller, { query, body, idempotencyKey }) {
      const groups = normalizeGroups(body.groups);
      if (query.dry_run === true) {
        return dryRun(deps, async ({ tx }) => {
          await checkNameIsFree(tx, body.name);
          return [{ subject_kind: 'profile', subject_id: body.name, change: 'create' }];
        });
      }
      const request = {
        caller,
        method: 'POST',
        path: '/v3/device-profiles',
        key: idempotencyKey,
        body,
      };
      return act(deps, (current) =>
        idempotently(current, request, () => create(current, deps, { caller, body, groups })),
      );
    },
    async deleteProfile(caller, { params, query, ifMatch }) {
      if (query.dry_run === true) {
        return dryRun(deps, async ({ tx }) => {
          const row = await findProfile(tx, params.profile);
          checkIfMatch(ifMatch, row, `device profile ${row.name}`);
          await checkUnused(tx, caller, row);
          return [{ subject_kind: 'profile', subject_id: row.id, change: `delete ${row.name}` }];
        });
      }
      return act(deps, (current) => remove(current, caller, { idOrName: params.profile, ifMatch }));
    },
  };
}

async function create(
  current: Act,
  deps: Pick<ConductorDeps, 'rng'>,
  made: {
    readonly caller: Caller;
    readonly body: NewProfile;
    readonly groups: readonly ProfileGroup[];
  },
): Promise<ProfileView> {
  const { caller, body, groups } = made;
  const row = await insertDeviceProfile(current.tx, {
    id: deps.rng.uuid(),
    name: body.name,
    description: body.description ?? null,
    groups: toJson(groups),
    created_at: current.now,
    updated_at: null,
  });
  if (row === undefined) throw nameInUse(body.name);
  await recordEvents(current, [eventOf('profile.created', row, caller)]);
  return toProfileView(row);
}

async function remove(
  current: Act,
  caller: Caller,
  { idOrName, ifMatch }: { readonly idOrName: string; readonly ifMatch: string | undefined },
): Promise<null> {
  const { id } = await findProfile(current.tx, idOrName);
  await lockDeviceProfile(current.tx, id);
  const row = await findProfile(current.tx, id);
  checkIfMatch(ifMatch, row, `device profile ${row.name}`);
  await checkUnused(current.tx, caller, row);
  await deleteDeviceProfile(current.tx, id);
  await recordEvents(current, [eventOf('profile.deleted', row, caller)]);
  return null;
}

async function checkNameIsFree(db: Db, name: string): Promise<void> {
  const found = await findProfile(db, name).catch((error: unknown) => {
    if (error instanceof ServiceError && error.code === 'profile-not-found') return undefined;
    throw error;
  });
  if (found !== undefined) throw nameInUse(name);
}

function nameInUse(name: string): ServiceError {
  return new ServiceError(
    'already-exists',
    `A device profile called "${name}" exists already: choose another name, or delete that one first.`,
  );
}

async function checkUnused(db: Db, caller: Caller, row: DeviceProfileRow): Promise<void> {
  const users = await listProfileUsers(db, row.id);
  if (users.length === 0) return;
  throw new ServiceError(
    'in-use',
    `Device profile ${row.name} is in use by ${users.length} attachments: detach them first.`,
    { extra: { users: users.map((user) => named(user, caller)) } },
  );
}

function named(user: ProfileUser, caller: Caller): object {
  const { instance_id, accelerator_id, project_id } = user;
  const isNamed = isAdmin(caller) || project_id === caller.projectId;
  return isNamed ? { instance_id, accelerator_id, project_id } : { accelerator_id };
}

function numberOf(marker: string | undefined): number {
  if (marker === undefined) return 0;
  const [text = ''] = fromMarker(marker, 1) ?? [];
  if (!/^\d{1,9}$/.test(text)) throw badMarker(marker);
  return Number(text);
}

function toProfileView(row: DeviceProfileRow): ProfileView {
  const { id, name, description, groups, created_at, updated_at } = row;
  return { id, name, description, groups, created_at, updated_at };
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

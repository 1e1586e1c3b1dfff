/**
 * Compares the ledger with what was written to Placement last, and notes what differs. Events say which hosts to compare:
 * every change has one, and they are numbered after commit, so that none is passed over; from time to time all are.
 */
import { isDeepStrictEqual } from 'node:util';

import {
  insertPlacementRows,
  listHostsAfter,
  listOffered,
  listPlacementRows,
  listTouchedHosts,
  noticePlacementRows,
  readLastEvent,
  updatePlacementRow,
  type PlacementRow,
} from '@cyborg/store/placement';

import type { ConductorDeps } from '../deps.ts';
import type { PlacementLimits } from './limits.ts';
import { toWanted, type WantedProvider } from './wanted.ts';

export interface LookDeps extends Pick<ConductorDeps, 'db' | 'clock'> {
  readonly placementLimits: PlacementLimits;
  readonly withHotplug: boolean;
}

/** @returns how many providers are found to differ. */
export type Look = () => Promise<number>;

export function makeLook(deps: LookDeps): Look {
  const { lookSeconds, eventsPerLookMax } = deps.placementLimits;
  let seen: { readonly event: number; readonly allAtMs: number } | undefined;
  return async () => {
    const nowMs = deps.clock.monotonicMs();
    const event = await readLastEvent(deps.db);
    const isOld =
      seen === undefined ||
      event - seen.event > eventsPerLookMax ||
      nowMs - seen.allAtMs >= lookSeconds * 1000;
    if (isOld || seen === undefined) {
      const found = await lookAtAll(deps);
      seen = { event, allAtMs: nowMs };
      return found;
    }
    if (event === seen.event) return 0;
    const hostIds = await listTouchedHosts(deps.db, { after: seen.event, until: event });
    const found = await lookAtHosts(deps, hostIds);
    seen = { ...seen, event };
    return found;
  };
}

async function lookAtAll(deps: LookDeps): Promise<number> {
  const limit = deps.placementLimits.hostsPerLook;
  let found = 0;
  for (let after: string | undefined; ;) {
    const hostIds = await listHostsAfter(deps.db, { after, limit });
    found += await lookAtHosts(deps, hostIds);
    if (hostIds.length < limit) return found;
    after = hostIds.at(-1);
  }
}

async function lookAtHosts(deps: LookDeps, hostIds: readonly string[]): Promise<number> {
  if (hostIds.length === 0) return 0;
  const { db, withHotplug } = deps;
  const offered = (await listOffered(db, { withHotplug, hostIds })).map(toWanted);
  const rpUuids = offered.map(({ rpUuid }) => rpUuid);
  const rows = await listPlacementRows(db, { hostIds, rpUuids });
  const kept = await keepers(deps, rows, offered);
  const wanted = byProvider(offered, kept);
  const known = new Map(rows.map((row) => [row.rp_uuid, row]));
  const added = [...wanted.values()].filter(({ rpUuid }) => !known.has(rpUuid));
  const changed = rows.filter((row) => !kept.has(row.rp_uuid) && differs(row, wanted));
  if (added.length === 0 && changed.length === 0) return 0;
  await note(deps, { added, changed, wanted });
  return added.length + changed.length;
}

/** Rows whose deployable still offers them, though another one of the same name does too: the first one keeps it. */
async function keepers(
  { db, withHotplug }: LookDeps,
  rows: readonly PlacementRow[],
  offered: readonly WantedProvider[],
): Promise<ReadonlySet<string>> {
  const here = new Set(offered.map(({ rpUuid, deployableId }) => `${rpUuid} ${deployableId}`));
  const named = new Set(offered.map(({ rpUuid }) => rpUuid));
  const away = rows.filter(
    (row) => named.has(row.rp_uuid) && !here.has(`${row.rp_uuid} ${row.deployable_id}`),
  );
  if (away.length === 0) return new Set();
  const deployableIds = away.map((row) => row.deployable_id);
  const still = (await listOffered(db, { withHotplug, deployableIds })).map(toWanted);
  return new Set(still.map(({ rpUuid }) => rpUuid).filter((rpUuid) => named.has(rpUuid)));
}

/** Of two with the same name in one look, the older deployable. */
function byProvider(
  offered: readonly WantedProvider[],
  kept: ReadonlySet<string>,
): ReadonlyMap<string, WantedProvider> {
  const wanted = new Map<string, WantedProvider>();
  for (const each of offered) {
    if (!kept.has(each.rpUuid) && !wanted.has(each.rpUuid)) wanted.set(each.rpUuid, each);
  }
  return wanted;
}

function differs(row: PlacementRow, wanted: ReadonlyMap<string, WantedProvider>): boolean {
  const now = wanted.get(row.rp_uuid);
  if (now === undefined) return true;
  return hasMoved(row, now) || !isDeepStrictEqual(row.synced, now.content);
}

function hasMoved(row: PlacementRow, { deployableId, hostId, name }: WantedProvider): boolean {
  return row.deployable_id !== deployableId || row.host_id !== hostId || row.name !== name;
}

interface Differences {
  readonly added: readonly WantedProvider[];
  readonly changed: readonly PlacementRow[];
  readonly wanted: ReadonlyMap<string, WantedProvider>;
}

function note({ db, clock }: LookDeps, { added, changed, wanted }: Differences): Promise<void> {
  const now = clock.now();
  return db.transaction().execute(async (tx) => {
    await insertPlacementRows(
      tx,
      added.map(({ rpUuid, name, deployableId, hostId }) => ({
        rp_uuid: rpUuid,
        name,
        deployable_id: deployableId,
        host_id: hostId,
        next_attempt_at: now,
        waiting_since: now,
        created_at: now,
      })),
    );
    await noticePlacementRows(tx, { rpUuids: changed.map((row) => row.rp_uuid), now });
    for (const row of changed) {
      const moved = wanted.get(row.rp_uuid);
      if (moved === undefined || !hasMoved(row, moved)) continue;
      await updatePlacementRow(tx, row.rp_uuid, {
        name: moved.name,
        host_id: moved.hostId,
        deployable_id: moved.deployableId,
        updated_at: now,
      });
    }
  });
}

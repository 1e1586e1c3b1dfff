/** Sees what others did to our providers: one question a host, and a closer look only at those that have changed. */
import type { PlacementCall, PlacementClient } from '@cyborg/openstack/placement';
import {
  listPlacementRows,
  noticePlacementRows,
  takeUncheckedHosts,
  type PlacementRow,
} from '@cyborg/store/placement';

import type { ConductorDeps } from '../deps.ts';
import type { PlacementLimits } from './limits.ts';

export interface CheckDeps extends Pick<ConductorDeps, 'db' | 'clock'> {
  readonly placement: PlacementClient;
  readonly placementLimits: PlacementLimits;
}

export interface Checked {
  readonly hosts: number;
  readonly drifted: number;
}

/** @throws {OpenStackError} */
export async function checkHosts(deps: CheckDeps, signal: AbortSignal): Promise<Checked> {
  const { db, clock, placementLimits } = deps;
  const now = clock.now();
  const before = new Date(now.getTime() - placementLimits.checkSeconds * 1000);
  const limit = placementLimits.hostsCheckedPerPass;
  const hostIds = await takeUncheckedHosts(db, { before, now, limit });
  if (hostIds.length === 0) return { hosts: 0, drifted: 0 };
  const rows = await listPlacementRows(db, { hostIds, rpUuids: [] });
  const byHost = Map.groupBy(
    rows.filter((row) => row.next_attempt_at === null),
    (row) => row.host_id,
  );
  let drifted = 0;
  const call = { signal, timeoutMs: placementLimits.providerMs };
  for (const [, own] of byHost) {
    const rpUuids = await listDrifted(deps.placement, own, call);
    await noticePlacementRows(db, { rpUuids, now });
    drifted += rpUuids.length;
  }
  return { hosts: hostIds.length, drifted };
}

/** A provider's generation rises with every change, allocations among them. */
async function listDrifted(
  placement: PlacementClient,
  rows: readonly PlacementRow[],
  call: PlacementCall,
): Promise<string[]> {
  const [first] = rows;
  if (first === undefined) return [];
  const tree = await placement.listTree(first.rp_uuid, call);
  const generations = new Map(tree.map(({ uuid, generation }) => [uuid, generation]));
  return rows
    .filter((row) => generations.get(row.rp_uuid) !== row.generation)
    .map((row) => row.rp_uuid);
}

/**
 * What has just been let go of is not free before it is clean: Placement hears of it before Nova takes its allocation
 * back. Bounded and best effort; whatever does not get through, the reconciler brings after it.
 */
import type { PlacementCall, PlacementClient } from '@cyborg/openstack/placement';
import { withDeadline } from '@cyborg/service/deadline';
import { listMadeProviders, recordSynced, type PlacementRow } from '@cyborg/store/placement';

import type { ConductorDeps } from '../deps.ts';
import { inventoryOf } from './content.ts';
import { placementLimits } from './limits.ts';
import { readWanted } from './wanted.ts';

type RaiseDeps = Pick<ConductorDeps, 'db' | 'clock' | 'log' | 'openstack'>;

/** Never throws. */
export async function pushReserved(
  deps: RaiseDeps,
  acceleratorIds: readonly string[],
): Promise<void> {
  const placement = deps.openstack?.placement;
  if (placement === undefined || acceleratorIds.length === 0) return;
  const { clock, log } = deps;
  const timeoutMs = placementLimits.freeingMs;
  try {
    await withDeadline(
      async (signal) => {
        const rows = await listMadeProviders(deps.db, acceleratorIds);
        await Promise.all(rows.map((row) => pushOne(deps, { placement, row, call: { signal } })));
      },
      { clock, timeoutMs, what: 'Telling Placement what is being cleaned' },
    );
  } catch (error) {
    log.info({ err: error }, 'Placement is told later what is being cleaned');
  }
}

async function pushOne(
  deps: RaiseDeps,
  given: {
    readonly placement: PlacementClient;
    readonly row: PlacementRow;
    readonly call: PlacementCall;
  },
): Promise<void> {
  const { placement, row, call } = given;
  const { rp_uuid: rpUuid, deployable_id: deployableId, synced } = row;
  const withHotplug = deps.openstack?.placesHotplug === true;
  for (let round = 1; round <= placementLimits.conflictsMax; round++) {
    const current = await placement.getInventories(rpUuid, call);
    const wanted = await readWanted(deps.db, { deployableId, rpUuid, withHotplug });
    if (wanted === undefined || current === undefined || synced === null) return;
    const { resource_class: resourceClass, total, reserved } = wanted.content;
    const present = current.byClass[resourceClass];
    if (present === undefined || present.reserved === reserved) return;
    const { generation } = current;
    const inventory = { ...inventoryOf(wanted.content), generation, resourceClass };
    const written = await placement.putInventory(rpUuid, inventory, call);
    if (written.kind === 'gone') return;
    if (written.kind === 'conflict') continue;
    const content = { ...synced, resource_class: resourceClass, total, reserved };
    await recordSynced(deps.db, {
      rpUuid,
      content,
      generation: written.value.generation,
      isNew: false,
    });
    return;
  }
}

/** Placement says of every deployable that Nova can bind what the ledger says. docs/reference/placement.md */
import { isOutage, OpenStackError } from '@cyborg/openstack/errors';
import type { PlacementClient } from '@cyborg/openstack/placement';
import { backoffMs } from '@cyborg/service/backoff';
import { DeadlineExceeded, withDeadline } from '@cyborg/service/deadline';
import {
  claimPlacementRows,
  placementIsDue,
  settlePlacementRow,
  updatePlacementRow,
  type PlacementRow,
} from '@cyborg/store/placement';
import { sql } from 'kysely';

import type { ConductorDeps } from '../deps.ts';
import type { PassReport, Reconciler } from '../reconciler.ts';
import { checkHosts } from './check-hosts.ts';
import { keepHostConditions } from './conditions.ts';
import { makeEnsuredNames } from './ensured-names.ts';
import { placementLimits, type PlacementLimits } from './limits.ts';
import { makeLook } from './look.ts';
import { syncProvider, type SyncDeps, type SyncOutcome } from './sync-provider.ts';

interface Placing extends ConductorDeps, Omit<SyncDeps, 'nodeOf'> {}

/** None without a Placement. */
export function placementReconcilers(
  deps: ConductorDeps,
  limits: Partial<PlacementLimits> = {},
): Reconciler[] {
  const placement = deps.openstack?.placement;
  if (placement === undefined) return [];
  return [reconcilePlacement(deps, placement, { ...placementLimits, ...limits })];
}

function reconcilePlacement(
  deps: ConductorDeps,
  placement: PlacementClient,
  limits: PlacementLimits,
): Reconciler {
  const placing: Placing = {
    ...deps,
    placement,
    names: makeEnsuredNames(placement),
    placementLimits: limits,
    withHotplug: deps.openstack?.placesHotplug === true,
  };
  const look = makeLook(placing);
  const outage = makeOutage(placing);
  return {
    name: 'placement',
    periodMs: deps.limits.idlePassMs,
    topics: ['events'],
    gatherMs: deps.limits.gatherMs,
    due: (now) =>
      sql`case when ${placementIsDue(now)} then 'true' else (select last::text from event_counter) end`,
    async pass(signal) {
      const noticed = await look();
      if (outage.isOn())
        return { found: 0, full: false, notes: { noticed, outages: outage.count() } };
      const { providersPerPass } = limits;
      const most = outage.count() > 0 ? 1 : providersPerPass;
      const report = await workOnce(placing, { most, outage, signal });
      return { ...report, notes: { ...report.notes, noticed, outages: outage.count() } };
    },
  };
}

/** While Placement is away one provider asks for all of them, less and less often. */
interface Outage {
  isOn(): boolean;
  /** Failures in a row. */
  count(): number;
  begin(error: unknown): void;
  end(): void;
}

function makeOutage({ clock, rng, log, placementLimits: limits }: Placing): Outage {
  let failures = 0;
  let untilMs = Number.NEGATIVE_INFINITY;
  return {
    isOn: () => clock.monotonicMs() < untilMs,
    count: () => failures,
    begin(error) {
      failures += 1;
      const pause = { firstMs: limits.outageFirstMs, maxMs: limits.outageMaxMs };
      untilMs = clock.monotonicMs() + backoffMs(failures, pause, rng);
      if (failures === 1) log.warn({ err: error }, 'Placement is away; it is told later');
    },
    end() {
      if (failures > 0) log.info({ failures }, 'Placement is back');
      failures = 0;
    },
  };
}

interface Work {
  readonly most: number;
  readonly outage: Outage;
  readonly signal: AbortSignal;
}

async function workOnce(placing: Placing, { most, outage, signal }: Work): Promise<PassReport> {
  const { db, clock, replicaId, placementLimits: limits } = placing;
  const now = clock.now();
  const expiresAt = new Date(now.getTime() + limits.claimSeconds * 1000);
  const rows = await claimPlacementRows(db, { replicaId, now, expiresAt, limit: most });
  const deps: SyncDeps = { ...placing, nodeOf: makeNodeOf(placing.placement) };
  const queue = [...rows];
  const isWell = await workThrough(placing, {
    deps,
    queue,
    outage,
    signal,
    atOnce: limits.atOnceMax,
  });
  await keepHostConditions(placing, [...new Set(rows.map((row) => row.host_id))]);
  if (!isWell) return { found: rows.length, full: false };
  if (rows.length > 0) outage.end();
  try {
    const checked = await checkHosts(placing, signal);
    const full = rows.length === most || checked.hosts === limits.hostsCheckedPerPass;
    const notes = { checked: checked.hosts, drifted: checked.drifted };
    return { found: rows.length, full: full || checked.drifted > 0, notes };
  } catch (error) {
    if (!isForAll(error)) throw error;
    outage.begin(error);
    return { found: rows.length, full: false };
  }
}

/** One look-up for all deployables of a host. */
function makeNodeOf(placement: PlacementClient): SyncDeps['nodeOf'] {
  const asked = new Map<string, ReturnType<PlacementClient['findProvider']>>();
  return (name, call) => {
    const known = asked.get(name) ?? placement.findProvider(name, call);
    asked.set(name, known);
    return known;
  };
}

interface Queue {
  readonly deps: SyncDeps;
  readonly queue: PlacementRow[];
  readonly outage: Outage;
  readonly signal: AbortSignal;
  readonly atOnce: number;
}

/** @returns false when Placement turned out to be away: the rest is left for later. */
async function workThrough(
  placing: Placing,
  { deps, queue, outage, signal, atOnce }: Queue,
): Promise<boolean> {
  let isWell = true;
  const run = async (): Promise<void> => {
    for (let row = queue.shift(); row !== undefined; row = queue.shift()) {
      try {
        if (isWell && !signal.aborted) await settle(placing, row, await attempt(deps, row, signal));
        else await putOff(placing, row);
      } catch (error) {
        if (signal.aborted) {
          await putOff(placing, row);
          continue;
        }
        if (!isForAll(error)) throw error;
        if (isWell) outage.begin(error);
        isWell = false;
        await wait(placing, row, { trouble: 'outage', reason: messageOf(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, run));
  return isWell;
}

async function attempt(
  deps: SyncDeps,
  row: PlacementRow,
  signal: AbortSignal,
): Promise<SyncOutcome> {
  const { clock, names, placementLimits: limits } = deps;
  const timeoutMs = limits.providerMs;
  try {
    return await withDeadline((given) => syncProvider(deps, row, { signal: given }), {
      clock,
      timeoutMs,
      what: 'Placement',
      signal,
    });
  } catch (error) {
    if (isForAll(error) || !(error instanceof OpenStackError)) throw error;
    names.forget();
    return { kind: 'waits', trouble: 'refused', reason: error.message };
  }
}

const forAll: ReadonlySet<string> = new Set(['sign-in', 'no-endpoint', 'tls']);

/** Nothing to do with this one provider. */
function isForAll(error: unknown): boolean {
  if (error instanceof DeadlineExceeded || isOutage(error)) return true;
  if (!(error instanceof OpenStackError)) return false;
  return forAll.has(error.failure) || error.status === 401 || error.status === 403;
}

async function settle(placing: Placing, row: PlacementRow, outcome: SyncOutcome): Promise<void> {
  if (outcome.kind === 'done') await settlePlacementRow(placing.db, row, placing.clock.now());
  if (outcome.kind === 'waits') await wait(placing, row, outcome);
}

async function wait(
  { db, clock, rng, placementLimits: limits }: Placing,
  row: PlacementRow,
  { trouble, reason }: Pick<Extract<SyncOutcome, { kind: 'waits' }>, 'trouble' | 'reason'>,
): Promise<void> {
  const now = clock.now();
  const attempts = row.attempts + 1;
  const pause = { firstMs: limits.retryFirstMs, maxMs: limits.retryMaxMs };
  await updatePlacementRow(db, row.rp_uuid, {
    trouble,
    reason,
    attempts,
    next_attempt_at: new Date(now.getTime() + backoffMs(attempts, pause, rng)),
    waiting_since: row.waiting_since ?? now,
    claimed_by: null,
    claim_expires_at: null,
    updated_at: now,
  });
}

function putOff({ db, clock }: Placing, row: PlacementRow): Promise<void> {
  const unclaimed = { claimed_by: null, claim_expires_at: null };
  return updatePlacementRow(db, row.rp_uuid, { ...unclaimed, updated_at: clock.now() });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

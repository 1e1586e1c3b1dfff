/**
 * What attachments of origin cyborg hold in Placement, each under a consumer of its own whose uuid is the attachment's:
 * allocated before the host is told of it, taken back when it is clean again, looked after in between.
 */
import { isOutage } from '@cyborg/openstack/errors';
import type { PlacementClient } from '@cyborg/openstack/placement';
import type { NewAllocations } from '@cyborg/openstack/placement-wire';
import { backoffMs } from '@cyborg/service/backoff';
import { traced } from '@cyborg/service/tracing';
import {
  claimAllocations,
  hasAllocationWork,
  hasLeftovers,
  putOffAllocations,
  writeAllocationGone,
  writeAllocationsMade,
  type AllocationRow,
} from '@cyborg/store/nova/allocations';
import { listAllocatable, listOffered, listPlacementRows } from '@cyborg/store/placement';

import type { ConductorDeps } from '../deps.ts';
import { claimOf } from '../nova/claim.ts';
import { commitDraft, openDraft } from '../orders/draft.ts';
import { take, takeAll } from '../orders/taking.ts';
import type { PassReport, Reconciler } from '../reconciler.ts';
import { conductorSpans } from '../spans.ts';
import { act, type Act } from '../transaction.ts';

export const consumerType = 'CYBORG_ATTACHMENT';

/** Times in milliseconds; each call is shorter than a claim. */
export const allocationLimits = {
  callMs: 8_000,
  perPass: 32,
  againFirstMs: 500,
  againMaxMs: 15_000,
  /** An earlier holder's allocation is taken back within this. */
  leftoverMs: 250,
  /** Between two looks whether an allocation is there. */
  checkEveryMs: 600_000,
  /** An allocation that was given up while it was being made may come late: it is taken back once more then. */
  lateMs: 60_000,
} as const;

/** Accelerators among these, about to be given, that Placement counts. */
export async function countedInPlacement(
  { tx }: Act,
  deps: Pick<ConductorDeps, 'openstack'>,
  picks: readonly { readonly row: { readonly id: string } }[],
): Promise<ReadonlySet<string>> {
  if (deps.openstack?.placement === undefined) return new Set();
  const ids = picks.map(({ row }) => row.id);
  return new Set(await listAllocatable(tx, ids));
}

export function allocationReconcilers(
  deps: ConductorDeps,
  placement: PlacementClient,
): Reconciler[] {
  const works = { make, remove, check } as const;
  return (['make', 'remove', 'check'] as const).map((work) => ({
    name: `${work}-allocations`,
    periodMs: deps.limits.idlePassMs,
    due: (now) => hasAllocationWork(work, now),
    topics: work === 'make' ? ['work'] : work === 'remove' ? ['cleaned'] : [],
    async pass(signal) {
      const limit = allocationLimits.perPass;
      const rows = await claimAllocations(deps.db, work, claimOf(deps, limit));
      const doing = { deps, placement, signal };
      const notes = { failed: 0 };
      const groups = Map.groupBy(rows, (row) => (work === 'make' ? row.operation_id : row.id));
      await Promise.all(
        [...groups.values()].map(async (group) => {
          const isDone = await tracedFor(work, group, () => attempt(doing, group, works[work]));
          if (!isDone) notes.failed += 1;
        }),
      );
      const report: PassReport = { found: rows.length, full: false, notes };
      return report;
    },
  }));
}

/** A check is nobody's request. */
function tracedFor<Result>(
  work: 'make' | 'remove' | 'check',
  rows: readonly AllocationRow[],
  attempted: () => Promise<Result>,
): Promise<Result> {
  if (work === 'check') return attempted();
  const parent = rows[0]?.trace_parent;
  return traced(conductorSpans.allocations[work], { parent }, attempted);
}

interface Doing {
  readonly deps: ConductorDeps;
  readonly placement: PlacementClient;
  readonly signal: AbortSignal;
}
type Work = (doing: Doing, rows: readonly AllocationRow[]) => Promise<void>;

/** Placement away, or an answer that nobody understands: later again; nothing is concluded. */
async function attempt(doing: Doing, rows: readonly AllocationRow[], work: Work): Promise<boolean> {
  const { deps } = doing;
  try {
    await work(doing, rows);
    return true;
  } catch (error) {
    const level = isOutage(error) ? 'debug' : 'warn';
    deps.log[level]({ err: error }, 'Placement was not told of attachments');
    const { againFirstMs: firstMs, againMaxMs: maxMs } = allocationLimits;
    const attempts = Math.max(...rows.map((row) => row.attempts)) + 1;
    await putOff(deps, rows, firstMs + backoffMs(attempts, { firstMs, maxMs }, deps.rng));
    return false;
  }
}

async function putOff(
  deps: ConductorDeps,
  rows: readonly AllocationRow[],
  pauseMs: number,
): Promise<void> {
  const nextAttemptAt = new Date(deps.clock.now().getTime() + pauseMs);
  await putOffAllocations(deps.db, { ids: rows.map(({ id }) => id), nextAttemptAt });
}

/** All of a request or nothing of it. After a crash the same again: it may be there already. */
async function make(doing: Doing, rows: readonly AllocationRow[]): Promise<void> {
  const { deps, placement, signal } = doing;
  const call = { signal, timeoutMs: allocationLimits.callMs };
  const missing = await missingOf(doing, rows);
  const refusal =
    missing.length === 0
      ? undefined
      : await refusalOf(() => placement.postAllocations(missing.map(toConsumer), call));
  if (refusal === undefined) {
    const ids = rows.map(({ id }) => id);
    await writeAllocationsMade(deps.db, { ids, checkAt: checkAt(deps) });
    deps.wake.wake(['work']);
    return;
  }
  const rpUuids = rows.flatMap((row) => row.rp_uuid ?? []);
  const mayPass =
    refusal.isStale ||
    (await hasLeftovers(deps.db, rpUuids)) ||
    (await isReservedTooMuch(deps, rpUuids));
  if (mayPass) await putOff(deps, rows, allocationLimits.leftoverMs);
  else await giveUp(deps, rows, refusal.reason);
}

/** Whether Placement has yet to hear that something of these providers can be given again. */
async function isReservedTooMuch(
  { db }: ConductorDeps,
  rpUuids: readonly string[],
): Promise<boolean> {
  const told = await listPlacementRows(db, { hostIds: [], rpUuids });
  const offered = await listOffered(db, {
    withHotplug: true, // what is not there has no row
    deployableIds: told.flatMap((row) => row.deployable_id ?? []),
  });
  const reserved = new Map(offered.map((row) => [row.deployable_id, row.reserved]));
  return told.some(({ deployable_id: id, synced }) => {
    const now = reserved.get(id ?? '');
    return now !== undefined && synced !== null && synced.reserved > now;
  });
}

/** Those that Placement does not have yet. @throws when a provider is not there. */
async function missingOf(
  { placement, signal }: Doing,
  rows: readonly AllocationRow[],
): Promise<readonly AllocationRow[]> {
  const call = { signal, timeoutMs: allocationLimits.callMs };
  const tried = rows.filter((row) => row.attempts > 0 || row.allocation === 'made');
  const found = await Promise.all(tried.map(({ id }) => placement.getAllocations(id, call)));
  const there = new Set(found.flatMap((one) => one?.consumerId ?? []));
  return rows.filter(({ id }) => !there.has(id));
}

interface Refusal {
  readonly reason: string;
  /** Somebody wrote meanwhile: the same again may go through. */
  readonly isStale: boolean;
}

async function refusalOf(
  post: () => ReturnType<PlacementClient['postAllocations']>,
): Promise<Refusal | undefined> {
  const outcome = await post();
  if (outcome.kind === 'written') return undefined;
  if (outcome.kind === 'gone') return { reason: 'its resource provider is gone', isStale: false };
  return { reason: outcome.reason, isStale: outcome.code === 'placement.concurrent_update' };
}

/** @throws when its provider is not there (any more): it is made again, or the request runs out of time. */
function toConsumer(row: AllocationRow): NewAllocations {
  if (row.rp_uuid === null || row.resource_class === null) {
    throw new Error(`The resource provider of attachment ${row.id} is not in Placement.`);
  }
  return {
    consumerId: row.id,
    consumerGeneration: null,
    consumerType,
    projectId: row.project_id,
    userId: row.user_id,
    byProvider: { [row.rp_uuid]: { [row.resource_class]: 1 } },
  };
}

/** Nothing has been prepared on the host yet: the reservation ends, and with it the request. */
async function giveUp(
  deps: ConductorDeps,
  rows: readonly AllocationRow[],
  reason: string,
): Promise<void> {
  const message = `Placement has no room for it: ${reason}. Another request, or a server that is being built, was quicker.`;
  await act(deps, async (current) => {
    const ids = rows.map((row) => row.accelerator_id);
    const draft = await openDraft(current, { ids, ledger: deps.ledger });
    for (const { id, accelerator_id, operation_id: operationId } of rows) {
      const attachment = draft.attachments.get(id);
      const accelerator = draft.accelerators.get(accelerator_id);
      if (accelerator === undefined || attachment?.state !== 'reserved') continue;
      if (operationId !== null) takeAll(draft, { operationId, reason: message });
      else take(draft, accelerator, { operationId, reason: message });
    }
    await commitDraft(draft);
  });
  // Nothing comes late of what was refused: it is looked at once more, and forgotten.
  await putOff(deps, rows, 0);
}

async function remove(
  { deps, placement, signal }: Doing,
  rows: readonly AllocationRow[],
): Promise<void> {
  for (const row of rows) {
    await placement.deleteAllocations(row.id, { signal, timeoutMs: allocationLimits.callMs });
    const isLatePossible = row.allocation === 'wanted' && row.attempts === 0;
    if (isLatePossible) await putOff(deps, [row], allocationLimits.lateMs);
    else await writeAllocationGone(deps.db, row.id);
  }
}

/** Somebody has taken away what is held: it is put back, if there is room; otherwise it is tried again. */
async function check(doing: Doing, rows: readonly AllocationRow[]): Promise<void> {
  const { deps, placement, signal } = doing;
  const missing = await missingOf(doing, rows);
  if (missing.length > 0) {
    const call = { signal, timeoutMs: allocationLimits.callMs };
    const refusal = await refusalOf(() => placement.postAllocations(missing.map(toConsumer), call));
    if (refusal !== undefined) throw new Error(`Placement has no room: ${refusal.reason}`);
    deps.log.warn(
      { attachment_ids: missing.map(({ id }) => id) },
      'allocations were missing; put back',
    );
  }
  await writeAllocationsMade(deps.db, { ids: rows.map(({ id }) => id), checkAt: checkAt(deps) });
}

function checkAt({ clock, rng }: ConductorDeps): Date {
  const afterMs = allocationLimits.checkEveryMs * (0.9 + 0.2 * rng.fraction());
  return new Date(clock.now().getTime() + afterMs);
}

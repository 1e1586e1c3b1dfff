/** Picks the accelerators of a request, all or none, locked for the act. */
import { ServiceError } from '@cyborg/model/errors';
import { countHeldByType } from '@cyborg/store/attach-context';
import {
  pickCandidates,
  setLockTimeout,
  type CandidateRow,
  type Locking,
} from '@cyborg/store/candidates';
import { listNeighbours, type NeighbourRow } from '@cyborg/store/neighbours';
import { listInTheWay } from '@cyborg/store/relatives';
import { sql, type RawBuilder, type SqlBool } from 'kysely';

import type { ConductorDeps } from '../deps.ts';
import type { NearestMiss } from '../dry-run.ts';
import type { Act } from '../transaction.ts';
import type { AttachContext } from './attach-context.ts';
import { fits, isOfClass, isOtherKind, whyNot, type Wish } from './fitting.ts';
import { match } from './match.ts';
import { checkDriverExists, type Wishes } from './wishes.ts';

export interface Picked {
  readonly row: CandidateRow;
  readonly profileGroup: number | null;
}

/** Too few are free and unlocked: some may only be locked by somebody who lets go of them again. */
export class Shortage extends Error {
  override readonly name = 'Shortage';
}

export interface PickOptions {
  readonly wishes: Wishes;
  readonly context: AttachContext;
  /** `skip-locked` first; `wait` makes a refusal true. */
  readonly locking: Locking;
}

/**
 * @throws Shortage with `skip-locked`; otherwise ServiceError `no-accelerator-left` or `already-attached`, with the
 *   nearest misses; `quota-exceeded`.
 */
export async function pick(
  { tx }: Act,
  deps: PickDeps,
  { wishes, context, locking }: PickOptions,
): Promise<Picked[]> {
  if (locking === 'wait') await setLockTimeout(tx, deps.limits.reserveLockWaitMs);
  const total = wishes.wishes.reduce((sum, wish) => sum + wish.count, 0);
  const picks = await pickApart(tx, { wishes, context, locking, total });
  if (picks.length < total) {
    if (locking === 'skip-locked') throw new Shortage();
    throw await refusal(tx, deps, { wishes, context, found: picks.length, total });
  }
  await checkQuota(tx, context, picks);
  return picks;
}

type Picking = PickOptions & { readonly total: number };

/** Leaves out what turns out to be a part, or the whole, of what somebody else takes at this moment. */
async function pickApart(tx: Act['tx'], picking: Picking): Promise<Picked[]> {
  const inTheWay = new Set<string>();
  for (;;) {
    const picks = await pickOnce(tx, picking, inTheWay);
    const ids = picks.filter(({ row }) => row.plans.includes('pci')).map(({ row }) => row.id);
    if (ids.length === 0) return picks;
    const found = await listInTheWay(tx, { ids, locking: picking.locking });
    if (found.size === 0) return picks;
    for (const id of found) inTheWay.add(id);
  }
}

async function pickOnce(
  tx: Act['tx'],
  { wishes, context, locking, total }: Picking,
  without: ReadonlySet<string>,
): Promise<Picked[]> {
  const demands = [];
  for (const wish of wishes.wishes) {
    // With several wishes, any may need another one's first choice: as many candidates as there are places.
    const limit = wishes.wishes.length === 1 ? wish.count : total;
    const where = leavingOut(fits(wish, context), without);
    const candidates = await pickCandidates(tx, { fits: where, limit, locking });
    demands.push({ count: wish.count, candidates });
  }
  return match(demands, (row) => row.id).flatMap((rows, index) =>
    rows.map((row) => ({ row, profileGroup: wishes.wishes[index]?.profileGroup ?? null })),
  );
}

function leavingOut(where: RawBuilder<SqlBool>, ids: ReadonlySet<string>): RawBuilder<SqlBool> {
  return ids.size === 0 ? where : sql<SqlBool>`${where} and a.id <> all(${[...ids]}::uuid[])`;
}

type PickDeps = { readonly limits: ConductorDeps['limits'] };

async function checkQuota(
  tx: Act['tx'],
  context: AttachContext,
  picks: readonly Picked[],
): Promise<void> {
  const { quotas } = context.instance;
  if (quotas.length === 0) return;
  const held = await countHeldByType(tx, context.projectId);
  for (const { type, max } of quotas) {
    const wanted = picks.filter(({ row }) => row.type === type).length;
    const used = held.get(type) ?? 0;
    if (wanted > 0 && used + wanted > max) {
      throw new ServiceError(
        'quota-exceeded',
        `Project ${context.projectId} holds ${used} of at most ${max} accelerators of type ${type}, and this asks for ${wanted} more: detach some, or ask an admin for a higher quota.`,
        { extra: { quota: { type, accelerators_max: max, accelerators_used: used } } },
      );
    }
  }
}

interface Shortfall {
  readonly wishes: Wishes;
  readonly context: AttachContext;
  readonly found: number;
  readonly total: number;
}

async function refusal(tx: Act['tx'], deps: PickDeps, shortfall: Shortfall): Promise<ServiceError> {
  const { wishes, context, found, total } = shortfall;
  const only = wishes.wishes.length === 1 ? wishes.wishes[0]?.acceleratorId : undefined;
  if (only !== undefined) return refuseOne(tx, only, { wishes, context });
  const driverId = wishes.wishes[0]?.driverId;
  if (driverId !== undefined) await checkDriverExists(tx, driverId);
  const neighbours = await listNeighbours(tx, sql<SqlBool>`a.host_id = ${context.hostId}`);
  const nearest = neighbours
    .flatMap((row) => nearestMiss(row, wishes.wishes, context) ?? [])
    .toSorted(byNearness)
    .slice(0, deps.limits.nearestMissesMax)
    .map(({ miss }) => miss);
  const [first] = nearest;
  const hint =
    first === undefined
      ? 'the host has no other accelerators'
      : (wrongClass(wishes.wishes, neighbours) ??
        `the nearest miss is ${first.name}: ${first.why_not.join('; ')}`);
  return new ServiceError(
    'no-accelerator-left',
    `For ${wishes.asked}, ${total} are needed and ${found} are free on host ${context.host}; ${hint}.`,
    { extra: { nearest_misses: nearest } },
  );
}

/** A class that nothing of the host is of may be written wrong. */
function wrongClass(
  wishes: readonly Wish[],
  neighbours: readonly NeighbourRow[],
): string | undefined {
  const wrong = wishes.find((wish) => !neighbours.some((row) => isOfClass(row, wish)));
  if (wrong?.resourceClass === undefined) return undefined;
  const classes = [...new Set(neighbours.map((row) => row.resource_class))].toSorted();
  return `nothing there is of class ${wrong.resourceClass}: the classes are ${classes.join(', ')}`;
}

interface Miss {
  readonly miss: NearestMiss;
  readonly isOther: boolean;
}

/** What is wished and cannot be had now comes before what is something else. */
function byNearness(a: Miss, b: Miss): number {
  return (
    Number(a.isOther) - Number(b.isOther) ||
    a.miss.why_not.length - b.miss.why_not.length ||
    a.miss.name.localeCompare(b.miss.name)
  );
}

/** Against the wish that it comes nearest to; undefined for one that fits. */
function nearestMiss(
  row: NeighbourRow,
  wishes: readonly Wish[],
  context: AttachContext,
): Miss | undefined {
  const misses = wishes.map((wish) => ({
    miss: { accelerator_id: row.id, name: row.name, why_not: whyNot(row, wish, context) },
    isOther: isOtherKind(row, wish, context),
  }));
  const [least] = misses.toSorted(byNearness);
  return least === undefined || least.miss.why_not.length === 0 ? undefined : least;
}

async function refuseOne(
  tx: Act['tx'],
  acceleratorId: string,
  { wishes, context }: Omit<PickOptions, 'locking'>,
): Promise<ServiceError> {
  const [row] = await listNeighbours(tx, sql<SqlBool>`a.id = ${acceleratorId}::uuid`);
  const isVisible =
    row !== undefined && (row.host_id === context.hostId || context.mayName(row.project_id));
  if (!isVisible) {
    return new ServiceError(
      'accelerator-not-found',
      `There is no accelerator ${acceleratorId}; "cyborg accelerator-list" shows those you may see.`,
      { extra: { nearest: [] } },
    );
  }
  if (row.instance_id !== null) return alreadyAttached(row, context);
  const why = wishes.wishes.flatMap((wish) => whyNot(row, wish, context));
  return new ServiceError(
    'no-accelerator-left',
    `Accelerator ${row.name} cannot be attached to ${context.instance.name}: ${why.join('; ')}.`,
    { extra: { nearest_misses: [{ accelerator_id: row.id, name: row.name, why_not: why }] } },
  );
}

function alreadyAttached(row: NeighbourRow, context: AttachContext): ServiceError {
  const who =
    row.instance_id === context.instance.id
      ? 'this instance'
      : context.mayName(row.project_id)
        ? `instance ${row.instance_id ?? 'unknown'}`
        : 'another project';
  const user = context.mayName(row.project_id)
    ? { instance_id: row.instance_id, accelerator_id: row.id, project_id: row.project_id }
    : { accelerator_id: row.id };
  return new ServiceError(
    'already-attached',
    `Accelerator ${row.name} is held by ${who} already; choose another, or detach it there first.`,
    { extra: { users: [user] } },
  );
}

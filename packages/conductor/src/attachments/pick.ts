/** Picks the accelerators of a request, all or none, locked for the act. */
import { ServiceError } from '@cyborg/model/errors';
import { countHeldByType } from '@cyborg/store/attach-context';
import {
  pickCandidates,
  setLockTimeout,
  type CandidateRow,
  type Locking,
} from '@cyborg/store/candidates';
import { listMatesToTake } from '@cyborg/store/iommu-groups';
import { listInTheWay } from '@cyborg/store/relatives';
import { sql, type RawBuilder, type SqlBool } from 'kysely';

import type { ConductorDeps } from '../deps.ts';
import type { Act } from '../transaction.ts';
import type { AttachContext } from './attach-context.ts';
import { choose, type Choosable } from './choose.ts';
import { fits, fitsAlone } from './fitting.ts';
import { match } from './match.ts';
import { refusal } from './refusal.ts';
import type { Wishes } from './wishes.ts';

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

type PickDeps = { readonly limits: ConductorDeps['limits'] };

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
  const candidatesMax = deps.limits.candidatesMax;
  const picks = await pickApart(tx, { wishes, context, locking, total, candidatesMax });
  if (picks.length < total) {
    if (locking === 'skip-locked') throw new Shortage();
    throw await refusal(tx, deps, { wishes, context, total });
  }
  await checkQuota(tx, context, picks);
  return picks;
}

type Picking = PickOptions & { readonly total: number; readonly candidatesMax: number };

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

/** What can be taken one by one is; only when that does not do is the host looked at as a whole. */
async function pickOnce(
  tx: Act['tx'],
  picking: Picking,
  without: ReadonlySet<string>,
): Promise<Picked[]> {
  if (!picking.wishes.isSameRoot) {
    const picks = await pickSingly(tx, picking, without);
    if (picks.length === picking.total && isAllNear(picks, picking)) return picks;
  }
  return pickTogether(tx, picking, without);
}

async function pickSingly(
  tx: Act['tx'],
  { wishes, context, locking, total }: Picking,
  without: ReadonlySet<string>,
): Promise<Picked[]> {
  const demands = [];
  for (const wish of wishes.wishes) {
    // With several wishes, any may need another one's first choice: as many candidates as there are places.
    const limit = wishes.wishes.length === 1 ? wish.count : total;
    const where = leavingOut(fitsAlone(wish, context), without);
    const nodes = context.instance.numa_nodes;
    const candidates = await pickCandidates(tx, { fits: where, limit, locking, nodes });
    demands.push({ count: wish.count, candidates });
  }
  return match(demands, (row) => row.id).flatMap((rows, index) => toPicked(rows, wishes, index));
}

function toPicked(rows: readonly CandidateRow[], wishes: Wishes, index: number): Picked[] {
  return rows.map((row) => ({ row, profileGroup: wishes.wishes[index]?.profileGroup ?? null }));
}

function leavingOut(where: RawBuilder<SqlBool>, ids: ReadonlySet<string>): RawBuilder<SqlBool> {
  return ids.size === 0 ? where : sql<SqlBool>`${where} and a.id <> all(${[...ids]}::uuid[])`;
}

function isAllNear(picks: readonly Picked[], { context }: Picking): boolean {
  const { numa_nodes: nodes } = context.instance;
  return picks.every(({ row }) => distanceTo(nodes, row) === 0);
}

/** 0: near, or nobody knows what is near. */
function distanceTo(nodes: readonly number[], { numa_node: node }: CandidateRow): number {
  if (nodes.length === 0) return 0;
  if (node === null) return 1;
  return nodes.includes(node) ? 0 : 2;
}

/**
 * Chooses from all that fits, then locks what it chose. What cannot be locked, or fits no longer, is left out of another
 * choice: each round leaves out more.
 */
async function pickTogether(
  tx: Act['tx'],
  picking: Picking,
  without: ReadonlySet<string>,
): Promise<Picked[]> {
  const lost = new Set(without);
  for (;;) {
    const chosen = await chooseUnlocked(tx, picking, lost);
    if (chosen === undefined) return [];
    const picks = await lockChosen(tx, picking, chosen);
    if (picks.length === picking.total) return picks;
    const held = new Set(picks.map(({ row }) => row.id));
    for (const id of chosen.flat()) if (!held.has(id)) lost.add(id);
  }
}

async function chooseUnlocked(
  tx: Act['tx'],
  { wishes, context, candidatesMax }: Picking,
  without: ReadonlySet<string>,
): Promise<string[][] | undefined> {
  const nodes = context.instance.numa_nodes;
  const found = new Map<string, { row: CandidateRow; wishes: number[] }>();
  for (const [index, wish] of wishes.wishes.entries()) {
    const where = leavingOut(fits(wish, context), without);
    const options = { fits: where, limit: candidatesMax, locking: 'none', nodes } as const;
    for (const row of await pickCandidates(tx, options)) {
      const known = found.get(row.id);
      if (known === undefined) found.set(row.id, { row, wishes: [index] });
      else known.wishes.push(index);
    }
  }
  const { instanceId } = context;
  const mates = await listMatesToTake(tx, { ids: [...found.keys()], instanceId });
  const items = [...found.values()].map((one): Choosable => ({
    id: one.row.id,
    wishes: one.wishes,
    mates: mates.get(one.row.id) ?? [],
    root: one.row.pcie_root,
    distance: distanceTo(nodes, one.row),
  }));
  const counts = wishes.wishes.map(({ count }) => count);
  return choose({ counts, items, isSameRoot: wishes.isSameRoot });
}

async function lockChosen(
  tx: Act['tx'],
  { wishes, context, locking }: Picking,
  chosen: readonly string[][],
): Promise<Picked[]> {
  const picks: Picked[] = [];
  for (const [index, wish] of wishes.wishes.entries()) {
    const ids = chosen[index] ?? [];
    const where = sql<SqlBool>`${fits(wish, context)} and a.id = any(${ids}::uuid[])`;
    const rows = await pickCandidates(tx, { fits: where, limit: wish.count, locking });
    picks.push(...toPicked(rows, wishes, index));
  }
  return picks;
}

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

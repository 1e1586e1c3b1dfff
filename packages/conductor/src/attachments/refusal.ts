/** Why a request gets nothing: the accelerators that came nearest, and which rule each of them fails. */
import { ServiceError } from '@cyborg/model/errors';
import { listNeighbours, type NeighbourRow } from '@cyborg/store/neighbours';
import { sql, type SqlBool } from 'kysely';

import type { ConductorDeps, Db } from '../deps.ts';
import type { NearestMiss } from '../dry-run.ts';
import type { AttachContext } from './attach-context.ts';
import {
  isOfClass,
  isOtherKind,
  matesToTake,
  relativeInWords,
  whyNot,
  type Wish,
} from './fitting.ts';
import { match } from './match.ts';
import { checkDriverExists, type Wishes } from './wishes.ts';

export interface Shortfall {
  readonly wishes: Wishes;
  readonly context: AttachContext;
  readonly total: number;
}

export async function refusal(
  tx: Db,
  deps: { readonly limits: ConductorDeps['limits'] },
  shortfall: Shortfall,
): Promise<ServiceError> {
  const { wishes, context, total } = shortfall;
  const named = wishes.wishes.flatMap(({ acceleratorId }) => acceleratorId ?? []);
  if (named.length > 0) return refuseNamed(tx, named, shortfall);
  const driverId = wishes.wishes[0]?.driverId;
  if (driverId !== undefined) await checkDriverExists(tx, driverId);
  const neighbours = await listNeighbours(tx, sql<SqlBool>`a.host_id = ${context.hostId}`);
  const fitting = neighbours.filter((row) => isFitting(row, shortfall));
  const nearest = neighbours
    .flatMap((row) => nearestMiss(row, fitting, shortfall) ?? [])
    .toSorted(byNearness)
    .slice(0, deps.limits.nearestMissesMax)
    .map(({ miss }) => miss);
  const [first] = nearest;
  const hint =
    wrongClass(wishes.wishes, neighbours) ??
    (first === undefined
      ? 'the host has no other accelerators'
      : `the nearest miss is ${first.name}: ${first.why_not.join('; ')}`);
  const served = countServed(fitting, shortfall);
  const free = `${served < total ? served : fitting.length} are free on host ${context.host}`;
  const apart = served < total ? free : `${free}, but not so many together`;
  return new ServiceError(
    'no-accelerator-left',
    `For ${wishes.asked}, ${total} are needed and ${apart}; ${hint}.`,
    { extra: { nearest_misses: nearest } },
  );
}

/** By itself. */
function isFitting(row: NeighbourRow, { wishes, context }: Shortfall): boolean {
  return wishes.wishes.some((wish) => whyNot(row, wish, context).length === 0);
}

/** How many of what is wished the free ones are: of several kinds, one may have more than enough and another nothing. */
function countServed(fitting: readonly NeighbourRow[], { wishes, context }: Shortfall): number {
  const demands = wishes.wishes.map((wish) => ({
    count: wish.count,
    candidates: fitting.filter((row) => whyNot(row, wish, context).length === 0),
  }));
  return match(demands, ({ id }) => id).flat().length;
}

/** A class that nothing of the host is of may be written wrong. */
function wrongClass(
  wishes: readonly Wish[],
  neighbours: readonly NeighbourRow[],
): string | undefined {
  const wrong = wishes.find((wish) => !neighbours.some((row) => isOfClass(row, wish)));
  if (wrong?.resourceClass === undefined || neighbours.length === 0) return undefined;
  const classes = [...new Set(neighbours.map((row) => row.resource_class))].toSorted();
  return `nothing there is of class ${wrong.resourceClass}: the classes are ${classes.join(', ')}`;
}

interface Miss {
  readonly miss: NearestMiss;
  /** Nothing is wrong with it but what it would have to come with. */
  readonly fits: boolean;
  readonly isOther: boolean;
}

/** What is wished and cannot be had now comes before what is something else. */
function byNearness(a: Miss, b: Miss): number {
  return (
    Number(b.fits) - Number(a.fits) ||
    Number(a.isOther) - Number(b.isOther) ||
    a.miss.why_not.length - b.miss.why_not.length ||
    a.miss.name.localeCompare(b.miss.name)
  );
}

/** Against the wish that it comes nearest to; undefined for one that would have been given. */
function nearestMiss(
  row: NeighbourRow,
  fitting: readonly NeighbourRow[],
  shortfall: Shortfall,
): Miss | undefined {
  const { wishes, context } = shortfall;
  const told = { accelerator_id: row.id, name: row.name };
  if (fitting.includes(row)) {
    const why = whyNotTogether(row, fitting, shortfall);
    if (why.length === 0) return undefined;
    return { miss: { ...told, why_not: why }, fits: true, isOther: false };
  }
  const misses = wishes.wishes.map((wish) => ({
    miss: { ...told, why_not: whyNot(row, wish, context) },
    fits: false,
    isOther: isOtherKind(row, wish, context),
  }));
  return misses.toSorted(byNearness)[0];
}

/** Of one that fits by itself: what it would have to come with. */
function whyNotTogether(
  row: NeighbourRow,
  fitting: readonly NeighbourRow[],
  { wishes, context, total }: Shortfall,
): string[] {
  const why = [];
  const named = wishes.wishes.flatMap(({ acceleratorId }) => acceleratorId ?? []);
  const mates = matesToTake(row, context);
  const isWhole = named.length > 0 && mates.every(({ id }) => named.includes(id));
  if (mates.length > 0 && !isWhole) why.push(sharesGroup(row, mates));
  const relative = row.relatives.find(({ id }) => fitting.some((other) => other.id === id));
  if (relative !== undefined) why.push(`${relativeInWords(relative)}, cannot be given with it`);
  if (wishes.isSameRoot && named.length === 0) {
    const beside = fitting.filter((other) => other.pcie_root === row.pcie_root).length;
    if (beside < total) why.push(`under PCIe root ${row.pcie_root}, where ${beside} are free`);
  }
  return why;
}

function sharesGroup(row: NeighbourRow, mates: ReturnType<typeof matesToTake>): string {
  const others = mates.map(({ address, name }) => `${address} (${name})`).join(' and ');
  const flags = [row.name, ...mates.map(({ name }) => name)].map((name) => `--accelerator ${name}`);
  // A count is of one kind.
  const isOneKind = mates.every(
    (mate) => mate.type === row.type && mate.driver_id === row.driver_id,
  );
  const orCount = isOneKind ? `, or --count ${flags.length}` : '';
  return `shares IOMMU group ${row.iommu_group} with ${others}: attach them together (${flags.join(' ')}${orCount})`;
}

async function refuseNamed(
  tx: Db,
  named: readonly string[],
  shortfall: Shortfall,
): Promise<ServiceError> {
  const { wishes, context } = shortfall;
  const found = await listNeighbours(tx, sql<SqlBool>`a.id = any(${named}::uuid[])`);
  // As they were asked for.
  const rows = found.toSorted((a, b) => named.indexOf(a.id) - named.indexOf(b.id));
  for (const wish of wishes.wishes) {
    const row = rows.find(({ id }) => id === wish.acceleratorId);
    const refused = refuseOne(row, wish, context);
    if (refused !== undefined) return refused;
  }
  const misses = rows
    .map((row) => ({
      accelerator_id: row.id,
      name: row.name,
      why_not: whyNotTogether(row, rows, shortfall),
    }))
    .filter(({ why_not: why }) => why.length > 0);
  const [first] = misses;
  if (first !== undefined) return notAttachable(first, misses, context);
  const places = rows.map(({ name, pcie_root: root }) => `${name} under ${root}`);
  const isApart = new Set(rows.map(({ pcie_root: root }) => root)).size > 1;
  return new ServiceError(
    'no-accelerator-left',
    wishes.isSameRoot && isApart
      ? `They are not under one PCIe root: ${places.join(', ')}. Choose others, or leave same_root out.`
      : `Others are taking ${rows.map(({ name }) => name).join(', ')}, or a part of the same hardware, at this moment: try again shortly.`,
    { extra: { nearest_misses: [] } },
  );
}

function refuseOne(
  row: NeighbourRow | undefined,
  wish: Wish,
  context: AttachContext,
): ServiceError | undefined {
  const isVisible =
    row !== undefined && (row.host_id === context.hostId || context.mayName(row.project_id));
  if (!isVisible) {
    return new ServiceError(
      'accelerator-not-found',
      `There is no accelerator ${wish.acceleratorId}; "cyborg accelerator-list" shows those you may see.`,
      { extra: { nearest: [] } },
    );
  }
  if (row.instance_id !== null) return alreadyAttached(row, context);
  const why = whyNot(row, wish, context);
  if (why.length === 0) return undefined;
  const miss = { accelerator_id: row.id, name: row.name, why_not: why };
  return notAttachable(miss, [miss], context);
}

function notAttachable(
  miss: NearestMiss,
  misses: readonly NearestMiss[],
  { instance }: AttachContext,
): ServiceError {
  return new ServiceError(
    'no-accelerator-left',
    `Accelerator ${miss.name} cannot be attached to ${instance.name}: ${miss.why_not.join('; ')}.`,
    { extra: { nearest_misses: misses } },
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

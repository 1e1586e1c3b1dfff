/**
 * Which of the accelerators that fit are taken when they cannot be taken one by one: IOMMU groups are whole, or a request
 * wants them under one PCIe root, or some are nearer to the instance than others.
 */

export interface Choosable {
  readonly id: string;
  /** Indexes of the wishes that it fits. */
  readonly wishes: readonly number[];
  /** What must be taken along with it. */
  readonly mates: readonly string[];
  /** PCIe root port above it; null = not known. */
  readonly root: string | null;
  /** From the instance's memory and CPUs; the nearest is 0. */
  readonly distance: number;
}

export interface Question {
  /** How many each wish takes. */
  readonly counts: readonly number[];
  /** What comes first is taken first, where nothing else decides. */
  readonly items: readonly Choosable[];
  readonly isSameRoot: boolean;
}

/** More than any sensible request takes: beyond it, the best answer found so far counts. */
const stepsMax = 200_000;
/** A whole group costs a little more than as many that stand alone: it may be what another one needs. */
const nearer = 1000;

/**
 * The nearest way to serve all wishes.
 *
 * @returns for each wish its ids; undefined when there is no way.
 */
export function choose({ counts, items, isSameRoot }: Question): string[][] | undefined {
  const kinds = mergeAlike(counts, items);
  const pools = isSameRoot ? [...byRoot(kinds.items).values()] : [kinds.items];
  const answers = pools.flatMap((pool) => chooseIn(pool, kinds.counts) ?? []);
  const [best] = answers.toSorted((a, b) => a.cost - b.cost);
  if (best === undefined) return undefined;
  return counts.map((count, wish) => best.ids[kinds.kindOf[wish] ?? 0]?.splice(0, count) ?? []);
}

interface Kinds {
  readonly counts: readonly number[];
  readonly items: readonly Choosable[];
  /** Of each wish. */
  readonly kindOf: readonly number[];
}

/** Wishes that the same accelerators fit are one. */
function mergeAlike(counts: readonly number[], items: readonly Choosable[]): Kinds {
  const names = counts.map((_count, wish) =>
    items.flatMap(({ wishes, id }) => (wishes.includes(wish) ? [id] : [])).join(),
  );
  const kinds = [...new Set(names)];
  const kindOf = names.map((name) => kinds.indexOf(name));
  return {
    kindOf,
    counts: kinds.map((_name, kind) =>
      counts.reduce((sum, count, wish) => sum + (kindOf[wish] === kind ? count : 0), 0),
    ),
    items: items.map((item) => ({
      ...item,
      wishes: [...new Set(item.wishes.map((wish) => kindOf[wish] ?? 0))],
    })),
  };
}

function byRoot(items: readonly Choosable[]): ReadonlyMap<string, Choosable[]> {
  const pools = new Map<string, Choosable[]>();
  for (const item of items) {
    if (item.root !== null) pools.set(item.root, [...(pools.get(item.root) ?? []), item]);
  }
  return pools;
}

/** What is taken together: one that stands alone, or a whole group. */
type Unit = readonly Choosable[];

interface Way {
  readonly cost: number;
  readonly taken: readonly Taken[];
}

interface Taken {
  readonly id: string;
  readonly wish: number;
}

interface Answer {
  readonly cost: number;
  readonly ids: string[][];
}

/** Unit after unit, the cheapest way to each part of the demand that has been served so far. */
function chooseIn(pool: readonly Choosable[], counts: readonly number[]): Answer | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const full = counts.join();
  const units = enough(unitsOf(pool, total), total);
  const left = counts.map((_count, wish) => units.flat().filter((one) => fits(one, wish)).length);
  let ways = new Map<string, Way>([[counts.map(() => 0).join(), { cost: 0, taken: [] }]]);
  let steps = 0;
  for (const unit of units) {
    for (const wish of left.keys()) {
      left[wish] = (left[wish] ?? 0) - unit.filter((one) => fits(one, wish)).length;
    }
    const next = new Map(ways);
    for (const [served, way] of ways) {
      for (const assignment of assignmentsOf(unit, toCounts(served), counts)) {
        steps += 1;
        const cost = way.cost + costOf(unit);
        const known = next.get(assignment.served);
        if (known === undefined || cost < known.cost) {
          next.set(assignment.served, { cost, taken: [...way.taken, ...assignment.taken] });
        }
      }
    }
    ways = new Map([...next].filter(([served]) => isServable(toCounts(served), counts, left)));
    if (steps > stepsMax) break;
  }
  const best = ways.get(full);
  return best && { cost: best.cost, ids: counts.map((_count, wish) => idsOf(best.taken, wish)) };
}

function fits({ wishes }: Choosable, wish: number): boolean {
  return wishes.includes(wish);
}

/** What comes later is enough for what is still wished. */
function isServable(
  served: readonly number[],
  counts: readonly number[],
  left: readonly number[],
): boolean {
  return counts.every((count, wish) => count - (served[wish] ?? 0) <= (left[wish] ?? 0));
}

function toCounts(served: string): number[] {
  return served.split(',').map(Number);
}

function idsOf(taken: readonly Taken[], wish: number): string[] {
  return taken.filter((one) => one.wish === wish).map(({ id }) => id);
}

function costOf(unit: Unit): number {
  return unit.reduce((sum, { distance }) => sum + distance * nearer, 0) + (unit.length - 1);
}

/** Groups of which something is missing from the pool are nobody's. The nearest first. */
function unitsOf(pool: readonly Choosable[], sizeMax: number): Unit[] {
  const byId = new Map(pool.map((item) => [item.id, item]));
  const seen = new Set<string>();
  const units: Unit[] = [];
  for (const item of pool) {
    if (seen.has(item.id)) continue;
    const members = [item, ...item.mates.map((id) => byId.get(id))];
    for (const id of [item.id, ...item.mates]) seen.add(id);
    const unit = members.filter((member) => member !== undefined);
    if (unit.length === members.length && unit.length <= sizeMax) units.push(unit);
  }
  return units.toSorted((a, b) => costOf(a) / a.length - costOf(b) / b.length);
}

/** Of those that are alike, no more than could be taken. */
function enough(units: readonly Unit[], total: number): Unit[] {
  const counted = new Map<string, number>();
  return units.filter((unit) => {
    const likeness = unit.map(({ wishes, distance }) => `${wishes.join()}@${distance}`).toSorted();
    const key = likeness.join(' ');
    const count = (counted.get(key) ?? 0) + unit.length;
    counted.set(key, count);
    return count - unit.length < total;
  });
}

interface Assignment {
  readonly served: string;
  readonly taken: readonly Taken[];
}

/** Each way to spread a unit over what is still wished, one for each outcome. */
function assignmentsOf(
  unit: Unit,
  served: readonly number[],
  counts: readonly number[],
): Iterable<Assignment> {
  let found = new Map<string, Assignment>([[served.join(), { served: served.join(), taken: [] }]]);
  for (const { id, wishes } of unit) {
    const next = new Map<string, Assignment>();
    for (const one of found.values()) {
      for (const wish of wishes) {
        const after = toCounts(one.served);
        after[wish] = (after[wish] ?? 0) + 1;
        const key = after.join();
        if (after[wish] > (counts[wish] ?? 0) || next.has(key)) continue;
        next.set(key, { served: key, taken: [...one.taken, { id, wish }] });
      }
    }
    found = next;
  }
  return found.values();
}

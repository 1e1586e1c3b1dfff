/** Gives each wish its accelerators so that all wishes are served whenever that is possible at all. */

export interface Demand<Item> {
  readonly count: number;
  /** What fits, best first. */
  readonly candidates: readonly Item[];
}

/**
 * Bipartite matching by augmenting paths (Kuhn): a wish that anything serves does not take what another one needs.
 *
 * @returns for each demand its items; fewer than `count` when there is too little for all of them together.
 */
export function match<Item>(
  demands: readonly Demand<Item>[],
  keyOf: (item: Item) => string,
): Item[][] {
  const slots = demands.flatMap((demand) => Array.from({ length: demand.count }, () => demand));
  const taken = new Map<string, { slot: number; item: Item }>();
  const place = (slot: number, tried: Set<string>): boolean => {
    const free = slots[slot]?.candidates.find((item) => !taken.has(keyOf(item)));
    if (free !== undefined) {
      taken.set(keyOf(free), { slot, item: free });
      return true;
    }
    for (const item of slots[slot]?.candidates ?? []) {
      const key = keyOf(item);
      if (tried.has(key)) continue;
      tried.add(key);
      const holder = taken.get(key);
      if (holder === undefined || place(holder.slot, tried)) {
        taken.set(key, { slot, item });
        return true;
      }
    }
    return false;
  };
  for (let slot = 0; slot < slots.length; slot++) place(slot, new Set());
  const bySlot = new Map([...taken.values()].map(({ slot, item }) => [slot, item]));
  let next = 0;
  return demands.map(({ count }) => {
    const own = Array.from({ length: count }, (_value, index) => bySlot.get(next + index));
    next += count;
    return own.filter((item) => item !== undefined);
  });
}

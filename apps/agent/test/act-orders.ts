import type { ActOrder } from '../src/privileged/act-order.ts';

/** What the agent says of an act about one function of a backend that has no other, of which nothing is noted yet. */
export function orderOf(
  given: Pick<ActOrder, 'method' | 'roots'> & Partial<ActOrder>,
  address: string,
): ActOrder {
  return {
    params: { address },
    backend: { id: 'b', name: 'b' },
    inventory: [address],
    bindings: [],
    unprobed: [],
    shortened: [],
    ordered: [],
    taken: [],
    isOrdered: true,
    ...given,
  };
}

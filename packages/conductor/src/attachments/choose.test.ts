import fc from 'fast-check';
import { describe, it } from 'vitest';

import { choose, type Choosable, type Question } from './choose.ts';

const roots = ['0000:00:01.0', '0000:00:02.0', null];

/** A few accelerators: some alone, some in groups of two or three. */
const question: fc.Arbitrary<Question> = fc
  .record({
    counts: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
    groups: fc.array(
      fc.record({
        size: fc.constantFrom(1, 1, 2, 3),
        root: fc.constantFrom(...roots),
        distance: fc.constantFrom(0, 1, 2),
        wishes: fc.subarray([0, 1, 2]),
      }),
      { maxLength: 5 },
    ),
    isSameRoot: fc.boolean(),
  })
  .map(({ counts, groups, isSameRoot }) => ({
    counts,
    isSameRoot,
    items: groups.flatMap(({ size, root, distance, wishes }, group) =>
      Array.from({ length: size }, (_none, index) => ({
        id: `${group}.${index}`,
        wishes: wishes.filter((wish) => wish < counts.length && (index === 0 || wish > 0)),
        mates: Array.from({ length: size }, (_one, other) => `${group}.${other}`).filter(
          (id) => id !== `${group}.${index}`,
        ),
        root,
        distance,
      })),
    ),
  }));

describe('choosing', () => {
  it('never splits a group nor crosses a root, serves all or nothing, and finds the nearest way there is', ({
    expect,
  }) => {
    let served = 0;
    let refused = 0;
    fc.assert(
      fc.property(question, (asked) => {
        const chosen = choose(asked);
        const ways = [...everyWay(asked)];
        if (chosen === undefined) {
          refused += 1;
          expect(ways).toEqual([]);
          return;
        }
        served += 1;
        expect(problemOf(asked, chosen)).toBeUndefined();
        expect(distanceOf(asked, chosen.flat())).toBe(
          Math.min(...ways.map((way) => distanceOf(asked, way))),
        );
      }),
      { numRuns: 1500 },
    );
    expect(Math.min(served, refused)).toBeGreaterThan(50);
  });

  it('takes what stands alone before it takes a group, when both are as near', ({ expect }) => {
    const alone = (id: string): Choosable => ({ ...far, id, distance: 0 });
    const items = [
      { ...alone('a'), mates: ['b'] },
      { ...alone('b'), mates: ['a'] },
      alone('c'),
      alone('d'),
    ];
    expect(choose({ counts: [2], items, isSameRoot: false })).toEqual([['c', 'd']]);
    expect(choose({ counts: [3], items, isSameRoot: false })?.[0]?.toSorted()).toEqual([
      'a',
      'b',
      'c',
    ]);
  });

  it('answers at once whatever is named, and whatever is alike', ({ expect }) => {
    const items = Array.from({ length: 64 }, (_none, index) => ({
      ...far,
      id: `n${index}`,
      wishes: [index],
    }));
    const named = choose({ counts: items.map(() => 1), items, isSameRoot: true });
    expect(named).toEqual(items.map(({ id }) => [id]));
    const wishes = Array.from({ length: 64 }, (_none, index) => index);
    const alike = items.map((item) => ({ ...item, wishes }));
    const any = choose({ counts: items.map(() => 1), items: alike, isSameRoot: false });
    expect(new Set(any?.flat()).size).toBe(64);
  });
});

const far: Choosable = { id: 'far', wishes: [0], mates: [], root: '0000:00:01.0', distance: 2 };

function distanceOf({ items }: Question, ids: readonly string[]): number {
  return items
    .filter(({ id }) => ids.includes(id))
    .reduce((sum, { distance }) => sum + distance, 0);
}

function problemOf(
  { counts, items, isSameRoot }: Question,
  chosen: readonly (readonly string[])[],
): string | undefined {
  const ids = chosen.flat();
  const taken = items.filter(({ id }) => ids.includes(id));
  if (new Set(ids).size !== ids.length || taken.length !== ids.length) return 'one is given twice';
  if (counts.some((count, wish) => chosen[wish]?.length !== count)) return 'not all are served';
  const isWrong = chosen.some((own, wish) =>
    own.some((id) => !items.some((item) => item.id === id && item.wishes.includes(wish))),
  );
  if (isWrong) return 'one does not fit its wish';
  if (taken.some(({ mates }) => mates.some((id) => !ids.includes(id)))) return 'a group is split';
  const under = new Set(taken.map(({ root }) => root));
  return isSameRoot && (under.size > 1 || under.has(null)) ? 'more than one root' : undefined;
}

/** All sets that would do, by trying every set. */
function* everyWay(asked: Question): Iterable<string[]> {
  const total = asked.counts.reduce((sum, count) => sum + count, 0);
  for (const ids of subsets(asked.items, total)) {
    if (spread(asked, ids)) yield ids;
  }
}

function* subsets(items: readonly Choosable[], size: number): Iterable<string[]> {
  if (size === 0) yield [];
  const [first, ...rest] = items;
  if (first === undefined || size === 0) return;
  for (const others of subsets(rest, size - 1)) yield [first.id, ...others];
  yield* subsets(rest, size);
}

/** Whether some way to hand them out has no problem. */
function spread(
  asked: Question,
  ids: readonly string[],
  given: readonly (readonly string[])[] = asked.counts.map(() => []),
): boolean {
  const [first, ...rest] = ids;
  if (first === undefined) return problemOf(asked, given) === undefined;
  return asked.counts.some((count, wish) => {
    if ((given[wish]?.length ?? 0) >= count) return false;
    return spread(
      asked,
      rest,
      given.map((own, index) => (index === wish ? [...own, first] : own)),
    );
  });
}

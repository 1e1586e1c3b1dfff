/** What a person who chooses a type of mediated devices wants to know of a card. */
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import type { CardOptions } from './device.ts';
import { othersOf, type MdevWish } from './mdev.ts';
import { freeOf, titleOf, typesOf } from './mdev-types.ts';

/** What the protocol takes as a text. */
const textLengthMax = 1024;

type Parent = Pick<CardOptions, 'listed'> & Pick<MdevWish, 'key'>;

/**
 * `mdev_types`: each type with its free instances; `mdev_type_T`: what its driver says of it; `mdev_others`: what others
 * have made.
 *
 * @param parents  the card's function and its virtual ones: newer cards have their types there.
 */
export function mdevInfoOf(
  parents: readonly Parent[],
  { hostName, reader }: Omit<MdevWish, 'key'>,
): Record<string, string> {
  const { free, titles } = readTypes(parents, reader);
  const others = parents.flatMap(({ listed, key }) => [
    ...othersOf(listed.fn, { key, hostName, reader }),
  ]);
  const list = (items: readonly string[], separator: string): string =>
    items.join(separator).slice(0, textLengthMax);
  return {
    ...(free.size > 0 && {
      mdev_types: list(
        [...free].map(([type, count]) => `${type}=${count ?? '?'}`),
        ' ',
      ),
    }),
    ...Object.fromEntries(
      [...titles].map(([type, text]) => [`mdev_type_${type}`, text.slice(0, textLengthMax)]),
    ),
    ...(others.length > 0 && {
      mdev_others: list(
        others.map(([uuid, type]) => `${uuid} (${type})`),
        ', ',
      ),
    }),
  };
}

interface Types {
  /** Undefined: the driver does not say how many. */
  readonly free: ReadonlyMap<string, number | undefined>;
  readonly titles: ReadonlyMap<string, string>;
}

function readTypes(parents: readonly Parent[], reader: TreeReader): Types {
  const free = new Map<string, number | undefined>();
  const titles = new Map<string, string>();
  for (const { listed } of parents) {
    const { fn } = listed;
    for (const type of typesOf(fn, reader)) {
      const count = freeOf(fn, type, reader);
      free.set(type, count === undefined ? free.get(type) : (free.get(type) ?? 0) + count);
      if (titles.has(type)) continue;
      const { name, description } = titleOf(fn, type, reader);
      if (name === type && description === undefined) continue;
      titles.set(type, description === undefined ? name : `${name}: ${description}`);
    }
  }
  return { free, titles };
}

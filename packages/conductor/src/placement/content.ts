/** What Placement has of a provider, and what it is to have: pure. Others' classes and traits on our provider stay. */
import type { Inventory } from '@cyborg/openstack/placement-wire';
import type { ProviderContent } from '@cyborg/store/schema-openstack';

export type ByClass = Readonly<Record<string, Inventory>>;

/** @returns undefined when nothing is to be written. */
export function inventoriesToWrite(
  current: ByClass,
  wanted: ProviderContent,
  ownedClasses: readonly string[],
): ByClass | undefined {
  const ours = inventoryOf(wanted);
  const others = Object.entries(current).filter(
    ([name]) => name !== wanted.resource_class && !ownedClasses.includes(name),
  );
  const present = current[wanted.resource_class];
  const isSame = present !== undefined && isEqual(present, ours);
  if (isSame && others.length + 1 === Object.keys(current).length) return undefined;
  return { ...Object.fromEntries(others), [wanted.resource_class]: ours };
}

/** Nothing more of these is to be booked; undefined when that is so already. */
export function closedInventories(
  current: ByClass,
  ownedClasses: readonly string[],
): ByClass | undefined {
  const isOpen = ([name, { total, reserved }]: readonly [string, Inventory]): boolean =>
    ownedClasses.includes(name) && reserved < total;
  const entries = Object.entries(current);
  if (!entries.some(isOpen)) return undefined;
  return Object.fromEntries(
    entries.map(([name, each]) => [
      name,
      isOpen([name, each]) ? { ...each, reserved: each.total } : each,
    ]),
  );
}

export function inventoryOf({ total, reserved }: ProviderContent): Inventory {
  return { total, reserved, minUnit: 1, maxUnit: total, stepSize: 1, allocationRatio: 1 };
}

function isEqual(one: Inventory, other: Inventory): boolean {
  return (
    one.total === other.total &&
    one.reserved === other.reserved &&
    one.minUnit === other.minUnit &&
    one.maxUnit === other.maxUnit &&
    one.stepSize === other.stepSize &&
    one.allocationRatio === other.allocationRatio
  );
}

/** @returns undefined when nothing is to be written. */
export function traitsToWrite(
  current: readonly string[],
  wanted: readonly string[],
  ownedTraits: readonly string[],
): string[] | undefined {
  const others = current.filter((trait) => !ownedTraits.includes(trait));
  const all = [...new Set([...others, ...wanted])].toSorted();
  const isSame = all.length === current.length && all.every((trait) => current.includes(trait));
  return isSame ? undefined : all;
}

/** From lists to a picture: NUMA nodes, in them root ports, under them cards, on them accelerators. */
import type { Result } from '../../api/call.ts';

export type Device = Result<'listDevices'>['items'][number];
export type Accelerator = Result<'listAccelerators'>['items'][number];

export interface Card {
  readonly device: Device;
  readonly accelerators: readonly Accelerator[];
}

export interface RootPort {
  /** Address; null: not known, or no PCI. */
  readonly root: string | null;
  readonly cards: readonly Card[];
}

export interface NumaNode {
  /** Null: of no node, or not known. */
  readonly node: number | null;
  readonly roots: readonly RootPort[];
}

export function layOut(
  devices: readonly Device[],
  accelerators: readonly Accelerator[],
): readonly NumaNode[] {
  const byDevice = Map.groupBy(accelerators, (one) => one.device_id);
  const cards = devices.map((device) => ({
    device,
    accelerators: (byDevice.get(device.id) ?? []).toSorted(byAddress),
  }));
  const nodes = Map.groupBy(cards, ({ device }) => device.numa_node);
  return [...nodes]
    .toSorted(([one], [other]) => (one ?? Infinity) - (other ?? Infinity))
    .map(([node, ofNode]) => ({ node, roots: rootsOf(ofNode) }));
}

function rootsOf(cards: readonly Card[]): RootPort[] {
  const roots = Map.groupBy(cards, (card) => card.accelerators[0]?.pcie_root ?? null);
  return [...roots]
    .toSorted(([one], [other]) => (one ?? '~').localeCompare(other ?? '~'))
    .map(([root, ofRoot]) => ({
      root,
      cards: ofRoot.toSorted((one, other) =>
        nameOf(one.device).localeCompare(nameOf(other.device)),
      ),
    }));
}

function byAddress(one: Accelerator, other: Accelerator): number {
  return (one.address ?? one.name).localeCompare(other.address ?? other.name, 'en', {
    numeric: true,
  });
}

export function nameOf(device: Device): string {
  return device.model ?? device.vendor ?? `${device.type} ${device.address ?? device.number}`;
}

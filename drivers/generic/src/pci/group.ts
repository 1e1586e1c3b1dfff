/** What must be given together with a function, and what keeps it from being given at all. */
import { parsePciAddress } from '@cyborg/driver-sdk/pci';
import { findDenial } from '@cyborg/driver-sdk/host-use/denylist';
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { DriverAccelerator } from '@cyborg/driver-sdk/protocol';
import { protocolLimits } from '@cyborg/driver-sdk/protocol-constants';
import type { DeviceTools, Listed } from './device.ts';
import { handlingOf } from './handling.ts';
import { madeOf } from './mdev-types.ts';

const noGroup =
  'no IOMMU group: switch the IOMMU on in the firmware, and on Intel by the kernel argument intel_iommu=on';

type GroupFacts = Pick<DriverAccelerator, 'iommu_group' | 'group_members' | 'pcie_root'>;

export function groupFacts(fn: PciFunction, tools: DeviceTools): GroupFacts {
  const members = othersOf(fn, tools).slice(0, protocolLimits.groupMembersMax);
  return {
    iommu_group: fn.iommuGroup ?? null,
    group_members: members.map(({ address }) => address),
    pcie_root: rootPortOf(fn),
  };
}

/** Of a real function: why VFIO cannot have it; null when nothing is in the way. */
export function obstacleOf(listed: Listed, tools: DeviceTools): string | null {
  const { fn } = listed;
  if (tools.isSimulated) return null;
  if (fn.iommuGroup === undefined) return noGroup;
  const own = driverInTheWay(listed, tools);
  if (own !== undefined) return `bound to ${own}; set unbind: idle`;
  const mediated = [...madeOf(fn, tools.reader).keys()];
  if (mediated.length > 0)
    return `divided into mediated devices: ${mediated.join(', ')}`.slice(0, 1024);
  const denial = denialOf(fn, tools);
  if (denial !== undefined) return denial;
  for (const other of othersOf(fn, tools)) {
    const neighbour = tools.listed.get(other.address);
    const isInTheWay = neighbour === undefined || driverInTheWay(neighbour, tools) !== undefined;
    if (!isInTheWay) continue;
    const wayOut = neighbour === undefined ? wayOutOf(other) : 'set unbind: idle for that one';
    return `shares IOMMU group ${fn.iommuGroup} with ${other.address} (${other.driver ?? 'no driver'}): ${wayOut}`;
  }
  if (handlingOf(listed, tools.config).mayUnbind) return null;
  const bridge = membersOf(fn, tools).find(({ keepsGroup }) => keepsGroup);
  if (bridge === undefined) return null;
  return `shares IOMMU group ${fn.iommuGroup} with the bridge ${bridge.address} (${bridge.driver}); set unbind: idle`;
}

/** Of a member of the group that the backend does not list. */
function wayOutOf({ isChipset, driver }: PciFunction): string {
  if (isChipset) return "a part of the host's chipset, which no guest gets";
  const unbind = driver === undefined ? '' : ', with unbind: idle';
  return `list that one, too, by a rule${unbind}`;
}

/** Of the whole group: vfio-pci must take all of it. */
function denialOf(fn: PciFunction, tools: DeviceTools): string | undefined {
  const { reader, sysfs } = tools;
  for (const one of [fn, ...othersOf(fn, tools)]) {
    const denial = findDenial(one, reader, sysfs);
    if (denial !== undefined) return denial;
  }
  return undefined;
}

/** The kernel driver that it would have to be taken from, and may not. */
function driverInTheWay(listed: Listed, tools: DeviceTools): string | undefined {
  const { driver, address } = listed.fn;
  if (driver === undefined || handlingOf(listed, tools.config).mayUnbind) return undefined;
  return tools.tables.isBoundByUs(address) && driver.includes('vfio') ? undefined : driver;
}

function othersOf(fn: PciFunction, tools: DeviceTools): PciFunction[] {
  return membersOf(fn, tools).filter(
    (one) => !one.isBridge && !isInert(one, tools) && one.address !== fn.address,
  );
}

/** Of the chipset, without a driver, and by no rule an accelerator itself. */
function isInert(fn: PciFunction, { listed }: DeviceTools): boolean {
  return fn.isUndrivenChipset && !listed.has(fn.address);
}

function membersOf(fn: PciFunction, { tables, functions }: DeviceTools): PciFunction[] {
  if (fn.iommuGroup === undefined) return [];
  const members = tables.iommuGroupMembers(fn.iommuGroup) ?? [];
  return members.flatMap((address) => functions.get(address) ?? []);
}

/** The first PCI function in the path from the root complex: the root port, where the card is behind one. */
export function rootPortOf({ path, address }: PciFunction): string | null {
  const first = path.split('/').find((part) => parsePciAddress(part) !== undefined);
  return first === undefined || first === address ? null : first;
}

/** How functions become devices: what is known of a physical function, and the parts that it is given in. */
import { formatPciClass, formatPciId } from '@cyborg/driver-sdk/pci';
import type { PciIds } from '@cyborg/driver-sdk/pci-ids';
import type { AcceleratorType, DriverDevice, Health } from '@cyborg/driver-sdk/protocol';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import type { PciConfig } from './config.ts';
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { HolderFinder } from '@cyborg/driver-sdk/host-use/holder-finder';
import type { HostTables } from '@cyborg/driver-sdk/host-use/host-tables';
import type { Identity } from './identity.ts';
import type { Match } from './match.ts';
import { mdevInfoOf } from './mdev-info.ts';
import { toDeployables, virtualParts } from './parts.ts';

/** A function that the backend lists. */
export interface Listed {
  readonly fn: PciFunction;
  readonly match: Match;
}

export interface CardOptions {
  readonly listed: Listed;
  /** Its virtual functions that the backend lists too, in the kernel's order. */
  readonly virtual: readonly Listed[];
  /** Other functions of its slot that are one device with it. */
  readonly siblings: readonly Listed[];
  readonly key: string;
  readonly identity: Identity;
}

export interface DeviceTools {
  /** What its hypervisor calls the host. */
  readonly hostName: string;
  readonly config: PciConfig;
  readonly isSimulated: boolean;
  readonly holders: HolderFinder;
  readonly tables: HostTables;
  /** All functions of the tree, and those that the backend lists. */
  readonly functions: ReadonlyMap<string, PciFunction>;
  readonly listed: ReadonlyMap<string, Listed>;
  readonly names: PciIds;
  readonly reader: TreeReader;
  readonly sysfs: string;
  readonly typeOf: (listed: Listed) => AcceleratorType;
  /** As the last reading of health found them, by address; what was not read is healthy. */
  readonly healths: Readonly<Record<string, Health>>;
}

export function toDevice(card: CardOptions, tools: DeviceTools): DriverDevice {
  const { listed, key, identity } = card;
  const { fn } = listed;
  const type = typeOf(listed);
  const deployables = toDeployables(card, tools);
  const accelerators = deployables.flatMap((part) => part.accelerators);
  const { vendor, device } = fn;
  return {
    key,
    address: fn.address,
    vendor_id: vendor === undefined ? null : formatPciId(vendor),
    device_id: device === undefined ? null : formatPciId(device),
    class: fn.class === undefined ? null : formatPciClass(fn.class),
    type,
    vendor: vendor === undefined ? null : tools.names.vendor(vendor),
    model: modelOf(fn, { identity, names: tools.names }),
    serial: identity.serial,
    numa_node: fn.numaNode ?? null,
    iommu_group: fn.iommuGroup ?? null,
    kernel_driver: fn.driver ?? null,
    offered: accelerators.some(({ offered }) => offered),
    reason: accelerators.some(({ offered }) => offered) ? null : (accelerators[0]?.reason ?? null),
    health: healthOf(fn, tools.healths[fn.address]),
    info: {
      ...infoOf(listed, identity),
      ...mdevInfoOf([{ listed, key }, ...virtualParts(card)], tools),
    },
    deployables,
  };
}

/** By the rule that matched, by definition, by what the kernel made of the function, then by PCI class. */
export function typeOf({ fn, match }: Listed): AcceleratorType {
  const said = match.rule?.type ?? match.definition?.type;
  if (said !== undefined) return said;
  const isFpga = ['fpga_region', 'fpga_manager'].some((name) => fn.has(name));
  if (isFpga || fpgaDrivers.has(fn.usualDriver ?? '')) return 'FPGA';
  const code = fn.class ?? 0;
  if (code >>> 8 === 0x0b40) return 'COPROCESSOR';
  if (code >>> 8 === 0x0108) return 'SSD';
  return typeOfBaseClass.get(code >>> 16) ?? 'OTHER';
}

const fpgaDrivers = new Set(['dfl-pci', 'xclmgmt', 'xocl', 'intel-fpga-pci']);
const typeOfBaseClass = new Map<number, AcceleratorType>([
  [0x02, 'NIC'],
  [0x03, 'GPU'],
  [0x10, 'CRYPTO'],
  [0x12, 'AICHIP'],
]);

function modelOf(
  { vendor, device }: PciFunction,
  { identity, names }: { identity: Identity; names: PciIds },
): string | null {
  const known = vendor === undefined || device === undefined ? null : names.device(vendor, device);
  return known ?? identity.vpd['id'] ?? null;
}

/** What did not answer when the kernel found it has a vendor of all ones. What falls off the bus later, `read` says. */
function healthOf(fn: PciFunction, read: Health | undefined): Health {
  if (fn.vendor === 0xffff)
    return { status: 'failed', reason: 'the card does not answer on the bus' };
  return read ?? { status: 'healthy', reason: null };
}

const attributesShown = [
  'current_link_speed',
  'current_link_width',
  'max_link_speed',
  'max_link_width',
  'reset_method',
  'sriov_totalvfs',
  'sriov_numvfs',
  'subsystem_vendor',
  'subsystem_device',
  'revision',
] as const;

function infoOf({ fn, match }: Listed, { vpd }: Identity): Record<string, string> {
  const info: Record<string, string> = {};
  for (const name of attributesShown) {
    const text = fn.text(name);
    if (text !== undefined && text !== '') info[name] = text.slice(0, 1024);
  }
  for (const [key, text] of Object.entries(vpd)) info[`vpd_${key.toLowerCase()}`] = text;
  if (fn.physicalFunction !== undefined) info['physical_function'] = fn.physicalFunction;
  const { definition } = match;
  if (definition !== undefined) info['definition'] = definition.id;
  if (definition?.reset !== undefined) info['reset_wanted'] = definition.reset.join(' ');
  if (definition?.clean !== undefined) info['clean_wanted'] = definition.clean.join(' ');
  if (definition?.vfs?.max !== undefined) info['vfs_max'] = String(definition.vfs.max);
  return info;
}

/** How functions become devices: a physical function with its own part and, where it has them, its virtual functions. */
import { notApproved } from '@cyborg/driver-sdk/protocol-constants';
import { deployableName } from '@cyborg/driver-sdk/deployable-name';
import { formatPciClass, formatPciId, toAttachInfo } from '@cyborg/driver-sdk/pci';
import type { PciIds } from '@cyborg/driver-sdk/pci-ids';
import type {
  AcceleratorType,
  DriverAccelerator,
  DriverDeployable,
  DriverDevice,
} from '@cyborg/driver-sdk/protocol';
import { factsOfType } from '../functions.ts';
import type { PciConfig } from './config.ts';
import type { PciFunction } from './function.ts';
import type { HolderFinder } from './holder-finder.ts';
import type { Identity } from './identity.ts';
import type { Match } from './match.ts';

/** A function that the backend lists. */
export interface Listed {
  readonly fn: PciFunction;
  readonly match: Match;
}

export interface CardOptions {
  readonly listed: Listed;
  /** Its virtual functions that the backend lists too, in the kernel's order. */
  readonly virtual: readonly Listed[];
  readonly key: string;
  readonly identity: Identity;
}

export interface DeviceTools {
  /** What its hypervisor calls the host. */
  readonly hostName: string;
  readonly config: PciConfig;
  readonly isSimulated: boolean;
  readonly holders: HolderFinder;
  readonly names: PciIds;
}

export function toDevice(
  { listed, virtual, key, identity }: CardOptions,
  tools: DeviceTools,
): DriverDevice {
  const { fn } = listed;
  const type = typeOf(listed);
  const deployables = [toWhole(listed, key, { tools, virtual })];
  if (virtual.length > 0) deployables.push(toGroup(listed, key, { tools, virtual }));
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
    health: healthOf(fn),
    info: infoOf(fn, identity),
    deployables,
  };
}

interface Part {
  readonly tools: DeviceTools;
  readonly virtual: readonly Listed[];
}

function toWhole(listed: Listed, key: string, { tools, virtual }: Part): DriverDeployable {
  const whole = toAccelerator(listed, { key, tools });
  const { fn } = listed;
  const enabled = Math.max(virtual.length, fn.integer('sriov_numvfs') ?? 0);
  const accelerator = enabled > 0 ? divided(whole, enabled) : whole;
  return {
    key,
    name: deployableName(tools.hostName, fn.address),
    resource_class: resourceClassOf(listed),
    traits: traitsOf(listed),
    accelerators: [accelerator],
  };
}

/** Stays so whoever approves it: its virtual functions may be with others. */
function divided(whole: DriverAccelerator, count: number): DriverAccelerator {
  const obstacle = `divided into ${count} virtual functions: give those, or disable them to give it whole`;
  const reason = whole.host_use === null ? obstacle : whole.reason;
  return { ...whole, reason, obstacle, offered: false };
}

function toGroup(listed: Listed, key: string, { tools, virtual }: Part): DriverDeployable {
  const [first = listed] = virtual;
  const indexes = new Map(listed.fn.virtualFunctions.map(({ address, index }) => [address, index]));
  return {
    key: `${key}/vfs`,
    name: deployableName(tools.hostName, `${listed.fn.address}_vfs`),
    resource_class: resourceClassOf(first),
    traits: [...traitsOf(first), 'CUSTOM_VF'],
    accelerators: virtual.map((item) =>
      toAccelerator(item, {
        key: `${key}/vf${indexes.get(item.fn.address) ?? item.fn.address}`,
        tools,
      }),
    ),
  };
}

function toAccelerator(
  listed: Listed,
  { key, tools }: { key: string; tools: DeviceTools },
): DriverAccelerator {
  const { fn } = listed;
  const use = tools.holders.find(fn);
  const approval = isApproved(listed, tools) ? null : notApproved;
  const obstacle = tools.isSimulated || fn.iommuGroup !== undefined ? null : 'no IOMMU group';
  const claim = use?.certainty === 'seen' ? 'in use by the host' : 'may be in use by the host';
  const held = use === undefined ? null : `${claim}: ${use.text}`.slice(0, 1024);
  // What somebody holds is said first; that evidence is missing matters to who would offer it.
  const reason = use?.certainty === 'seen' ? held : (approval ?? held ?? obstacle);
  const type = typeOf(listed);
  return {
    key,
    name: `${factsOfType[type].noun}-${fn.address}`,
    type,
    plans: ['pci'],
    offered: reason === null,
    reason,
    obstacle,
    host_use: use?.text.slice(0, 1024) ?? null,
    attach_info: toAttachInfo(fn.parsed),
  };
}

function isApproved({ match }: Listed, { config, isSimulated }: DeviceTools): boolean {
  const offer = config.offer ?? (isSimulated ? 'all' : 'rules');
  return offer === 'all' || (offer === 'rules' && match.rule?.offer === true);
}

/** By the rule that matched, by what the kernel made of the function, then by PCI class. */
export function typeOf({ fn, match }: Listed): AcceleratorType {
  if (match.rule?.type !== undefined) return match.rule.type;
  const isFpga = ['fpga_region', 'fpga_manager'].some((name) => fn.has(name));
  if (isFpga || fpgaDrivers.has(fn.driver ?? '')) return 'FPGA';
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

function resourceClassOf(listed: Listed): string {
  return listed.match.rule?.resource_class ?? factsOfType[typeOf(listed)].resourceClass;
}

/** As v2's pci_driver reports them, and the vendor's id, by which a profile can ask for a make. */
function traitsOf({ fn, match }: Listed): string[] {
  const upper = (id: number): string => formatPciId(id).slice(2).toUpperCase();
  const traits = ['OWNER_CYBORG'];
  if (fn.vendor !== undefined) traits.push(`CUSTOM_PCI_VENDOR_ID_${upper(fn.vendor)}`);
  if (fn.device !== undefined) traits.push(`CUSTOM_PCI_PRODUCT_ID_${upper(fn.device)}`);
  return [...new Set([...traits, ...(match.rule?.traits ?? [])])];
}

function modelOf(
  { vendor, device }: PciFunction,
  { identity, names }: { identity: Identity; names: PciIds },
): string | null {
  const known = vendor === undefined || device === undefined ? null : names.device(vendor, device);
  return known ?? identity.vpd['id'] ?? null;
}

/** A card that fell off the bus has a vendor of all ones. Its configuration space is not read: that would wake it. */
function healthOf(fn: PciFunction): DriverDevice['health'] {
  if (fn.vendor === 0xffff)
    return { status: 'failed', reason: 'the card does not answer on the bus' };
  return { status: 'healthy', reason: null };
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

function infoOf(fn: PciFunction, { vpd }: Identity): Record<string, string> {
  const info: Record<string, string> = {};
  for (const name of attributesShown) {
    const text = fn.text(name);
    if (text !== undefined && text !== '') info[name] = text.slice(0, 1024);
  }
  for (const [key, text] of Object.entries(vpd)) info[`vpd_${key.toLowerCase()}`] = text;
  if (fn.physicalFunction !== undefined) info['physical_function'] = fn.physicalFunction;
  return info;
}

/** The PCI cards of one family, for drivers that know their cards by ids: who they are, and who on the host uses them. */
import type { BackendContext } from './define-driver.ts';
import { DriverError } from './errors.ts';
import { HolderFinder } from './host-use/holder-finder.ts';
import { HostTables } from './host-use/host-tables.ts';
import { listFunctions, type PciFunction } from './host-use/function.ts';
import { readOpenNodes, type OpenNodes } from './host-use/open-node-table.ts';
import { namesOfNodes } from './host-use/open-nodes.ts';
import { identityOf } from './card-identity.ts';
import { formatPciId } from './pci.ts';
import { protocolLimits } from './protocol-constants.ts';
import type { AgentResult } from './protocol.ts';
import { TreeReader } from './sysfs.ts';

export type CardContext = Pick<BackendContext<unknown>, 'roots' | 'simulated' | 'ask'>;

export interface PciCard {
  /** Stays with the card: its ids and serial number, or its slot where it has none. */
  readonly key: string;
  readonly serial: string | null;
  /** `0x8086` */
  readonly vendorId: string;
  readonly deviceId: string;
  readonly fn: PciFunction;
  /** What on the host uses it; what cannot be seen counts as use. */
  readonly hostUse: string | null;
  /** Addresses of the other functions of its IOMMU group, bridges aside. */
  readonly groupMembers: readonly string[];
}

/**
 * Physical functions whose ids are in `ids` (`8086:0b30`), by address. Reads synchronously: for a few cards, not for a
 * whole host, which `scan-process` is for.
 * @throws DriverError `transient` when the agent does not say what it bound, or by what numbers they are known.
 */
export async function findPciCards(
  context: CardContext,
  ids: readonly string[],
): Promise<PciCard[]> {
  const reader = new TreeReader();
  const { sysfs, proc } = context.roots;
  const bound = context.simulated ? [] : await askBound(context);
  const before = bound.map((one) => [one.address, one.kernel_driver] as const);
  const functions = listFunctions(reader, sysfs, new Map(before));
  const wanted = new Set(ids);
  const chosen = [...functions.values()].filter((fn) => !fn.isVirtual && wanted.has(idsOf(fn)));
  const asksAgent = !context.simulated && proc === '/proc';
  const tables = new HostTables(reader, {
    sysfs,
    proc,
    isEvidenceOfTreeAlone: context.simulated,
    boundByUs: bound.map(({ address }) => address),
    asksAgent,
  });
  const groups = new Map(chosen.map((fn) => [fn, groupOf(fn, functions, tables)]));
  if (asksAgent && chosen.length > 0) {
    const nodes = [...new Set([...groups].flat(2))].flatMap((fn) => namesOfNodes(fn, tables));
    tables.setOpenNodes(await askOpenNodes(context, nodes, reader));
  }
  const own = new Set(chosen.map(({ address }) => address));
  const holders = new HolderFinder(functions, tables, (address) => own.has(address));
  const serials = await serialsOf(chosen, asksAgent ? context.ask : undefined);
  const keys = keysOf(chosen, serials);
  return chosen.map((fn) => ({
    key: keys.get(fn) ?? slotKey(fn),
    serial: serials.get(fn) ?? null,
    vendorId: formatPciId(fn.vendor ?? 0),
    deviceId: formatPciId(fn.device ?? 0),
    fn,
    hostUse: holders.find(fn)?.text.slice(0, 1024) ?? null,
    groupMembers: membersOf(fn, groups),
  }));
}

type Groups = ReadonlyMap<PciFunction, readonly PciFunction[]>;

function membersOf(fn: PciFunction, groups: Groups): string[] {
  if (fn.iommuGroup === undefined) return [];
  const others = (groups.get(fn) ?? []).filter(
    (one) =>
      !one.isBridge && !one.isUndrivenChipset && one !== fn && one.iommuGroup === fn.iommuGroup,
  );
  return others.map(({ address }) => address).slice(0, protocolLimits.groupMembersMax);
}

/** Functions whose use is use of the card: its virtual ones, and those of its IOMMU group. */
function groupOf(
  fn: PciFunction,
  functions: ReadonlyMap<string, PciFunction>,
  tables: HostTables,
): PciFunction[] {
  const group = fn.iommuGroup === undefined ? [] : (tables.iommuGroupMembers(fn.iommuGroup) ?? []);
  const virtual = fn.virtualFunctions.map(({ address }) => address);
  return [...new Set([...virtual, ...group])].flatMap((address) => functions.get(address) ?? []);
}

const idsOf = ({ vendor = 0, device = 0 }: PciFunction): string =>
  `${formatPciId(vendor).slice(2)}:${formatPciId(device).slice(2)}`;
const slotKey = (fn: PciFunction): string => `pci-${fn.address}-${idsOf(fn).replace(':', '-')}`;

type Serials = ReadonlyMap<PciFunction, string | null>;

/** The agent reads them, which a driver that is nobody may not; without one that knows the request, what the tree shows. */
async function serialsOf(
  cards: readonly PciFunction[],
  ask: CardContext['ask'] | undefined,
): Promise<Serials> {
  const shown = (): Serials => new Map(cards.map((fn) => [fn, identityOf(fn).dsn]));
  if (ask === undefined || cards.length === 0) return shown();
  const addresses = cards.map(({ address }) => address).slice(0, protocolLimits.serialNumbersMax);
  try {
    const { functions } = await ask('serialNumbers', { addresses });
    const told = new Map(functions.map(({ address, dsn }) => [address, dsn]));
    return new Map(cards.map((fn) => [fn, told.get(fn.address) ?? null]));
  } catch (error) {
    if (error instanceof DriverError && error.code === 'unsupported') return shown();
    throw error;
  }
}

/** A serial number that two cards share (a maker's mistake) identifies neither of them. */
function keysOf(cards: readonly PciFunction[], serials: Serials): Map<PciFunction, string> {
  const keyOf = (fn: PciFunction): string => {
    const serial = serials.get(fn) ?? null;
    if (serial === null) return slotKey(fn);
    return `pci-${idsOf(fn).replace(':', '-')}-${serial}-f${fn.parsed.function}`;
  };
  const counts = new Map<string, number>();
  for (const fn of cards) counts.set(keyOf(fn), (counts.get(keyOf(fn)) ?? 0) + 1);
  return new Map(cards.map((fn) => [fn, counts.get(keyOf(fn)) === 1 ? keyOf(fn) : slotKey(fn)]));
}

/** Without an agent, or with one of before, nothing was bound. */
async function askBound({ ask }: CardContext): Promise<AgentResult<'listBound'>['functions']> {
  try {
    return (await ask('listBound', {})).functions;
  } catch (error) {
    if (error instanceof DriverError && error.code === 'unsupported') return [];
    throw error;
  }
}

async function askOpenNodes(
  { ask, roots }: CardContext,
  nodes: readonly string[],
  reader: TreeReader,
): Promise<OpenNodes | 'missing'> {
  const holders = new Map<string, string>();
  if (nodes.length > protocolLimits.openNodesMax) {
    return { holders, missing: `${nodes.length} device nodes are too many to ask the agent for` };
  }
  try {
    const { open, complete } = await ask('openNodes', { nodes: [...nodes] });
    for (const { node, pid, command } of open) holders.set(node, `${command} (pid ${pid})`);
    return { holders, missing: complete ? null : 'the agent cannot see every process’s files' };
  } catch (error) {
    const isUnknown = error instanceof DriverError && error.code === 'unsupported';
    if (isUnknown) return readOpenNodes(reader, roots.proc) ?? 'missing';
    const why = error instanceof Error ? error.message : String(error);
    return { holders, missing: `the agent did not say: ${why}` };
  }
}

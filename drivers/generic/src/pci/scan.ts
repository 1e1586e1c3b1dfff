/** Reads the tree and says what is there, on its arguments alone; scan-host.ts runs it in a process of its own. */
import { PciIds } from '@cyborg/driver-sdk/pci-ids';
import type { Inventory } from '@cyborg/driver-sdk/protocol';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { servicesOf } from '../functions.ts';
import type { PciConfig } from './config.ts';
import { toDevice, type DeviceTools, type Listed } from './device.ts';
import { listFunctions, type PciFunction } from './function.ts';
import { namesOfNodes } from './holders/open-nodes.ts';
import { HolderFinder } from './holder-finder.ts';
import { HostTables } from './host-tables.ts';
import { assignKeys, readIdentities, type KnownIdentities } from './identity.ts';
import { compileMatcher } from './match.ts';
import type { OpenNodes } from './proc/open-nodes.ts';

export interface ScanInput {
  readonly roots: { readonly sysfs: string; readonly proc: string };
  readonly isSimulated: boolean;
  readonly hostName: string;
  readonly config: PciConfig;
  /** Addresses that this agent bound to vfio-pci itself. */
  readonly boundByUs: readonly string[];
  /** Who has nodes open is asked of the agent. */
  readonly asksAgent?: boolean;
  /** What the last scan said that it knows. */
  readonly known: KnownIdentities;
  /** Where pci.ids may be; the system's places when absent. */
  readonly pciIdsPaths?: readonly string[];
}

export interface ScanOutput {
  readonly inventory: Inventory;
  readonly known: KnownIdentities;
}

/** The scan with the tree alone as evidence of what is open. */
export function scan(input: ScanInput, reader: TreeReader): ScanOutput {
  return openScan(input, reader).finish();
}

/** A scan in two halves, between which somebody may be asked who has the nodes open. */
export interface OpenScan {
  /** Nodes of all functions whose use matters, as `openNodes` of the agent takes them. */
  nodes(): string[];
  /** Without an argument the tree's own processes are looked at. */
  finish(open?: OpenNodes | 'missing'): ScanOutput;
}

export function openScan(input: ScanInput, reader: TreeReader): OpenScan {
  const { sysfs, proc } = input.roots;
  const functions = listFunctions(reader, sysfs);
  const listed = selectListed(functions, input.config);
  const tables = new HostTables(reader, {
    sysfs,
    proc,
    isEvidenceOfTreeAlone: input.isSimulated,
    boundByUs: input.boundByUs,
    asksAgent: input.asksAgent ?? false,
  });
  return {
    nodes: () => {
      const relevant = withNeighbours([...listed.values()], functions, tables);
      return [...new Set([...relevant].flatMap((fn) => namesOfNodes(fn, tables)))];
    },
    finish: (open) => {
      if (open !== undefined) tables.setOpenNodes(open);
      return finish(input, reader, { functions, listed, tables });
    },
  };
}

interface Seen {
  readonly functions: ReadonlyMap<string, PciFunction>;
  readonly listed: ReadonlyMap<string, Listed>;
  readonly tables: HostTables;
}

function finish(input: ScanInput, reader: TreeReader, seen: Seen): ScanOutput {
  const { functions, listed, tables } = seen;
  const cards = [...listed.values()].filter(({ fn }) => !isListedBelow(fn, listed));
  const functionsOfCards = cards.map(({ fn }) => fn);
  const { identities, known } = readIdentities(functionsOfCards, { reader, known: input.known });
  const keys = assignKeys(functionsOfCards, identities);
  const tools: DeviceTools = {
    hostName: input.hostName,
    config: input.config,
    isSimulated: input.isSimulated,
    holders: new HolderFinder(functions, tables),
    names: new PciIds(reader, input.pciIdsPaths),
  };
  const devices = cards.map((card) => {
    const { fn } = card;
    const key = keys.get(fn.address) ?? fn.address;
    const identity = identities.get(fn.address) ?? { serial: null, vpd: {} };
    return toDevice({ listed: card, virtual: virtualOf(fn, listed), key, identity }, tools);
  });
  return { inventory: { devices, services: servicesOf(devices) }, known };
}

/** The functions that HolderFinder asks about: those listed, their virtual functions, and neighbours of those. */
function withNeighbours(
  listed: readonly Listed[],
  functions: ReadonlyMap<string, PciFunction>,
  tables: HostTables,
): Set<PciFunction> {
  const found = new Set<PciFunction>();
  const add = (address: string): void => {
    const fn = functions.get(address);
    if (fn !== undefined && !fn.isBridge) found.add(fn);
  };
  for (const { fn } of listed) {
    found.add(fn);
    for (const { address } of fn.virtualFunctions) add(address);
    const group = fn.iommuGroup;
    for (const address of group === undefined ? [] : (tables.iommuGroupMembers(group) ?? []))
      add(address);
  }
  return found;
}

function selectListed(
  functions: ReadonlyMap<string, PciFunction>,
  config: PciConfig,
): Map<string, Listed> {
  const matchOf = compileMatcher(config);
  const listed = new Map<string, Listed>();
  for (const [address, fn] of functions) {
    const match = matchOf(fn);
    if (match !== undefined && !fn.isBridge) listed.set(address, { fn, match });
  }
  return listed;
}

/** A virtual function whose physical function is listed is part of that one's device. */
function isListedBelow(fn: PciFunction, listed: ReadonlyMap<string, Listed>): boolean {
  const parent = fn.physicalFunction === undefined ? undefined : listed.get(fn.physicalFunction);
  return parent?.fn.virtualFunctions.some(({ address }) => address === fn.address) ?? false;
}

function virtualOf(fn: PciFunction, listed: ReadonlyMap<string, Listed>): Listed[] {
  return fn.virtualFunctions.flatMap(({ address }) => listed.get(address) ?? []);
}

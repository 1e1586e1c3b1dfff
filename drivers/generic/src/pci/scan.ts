/** Reads the tree and says what is there, on its arguments alone; scan-host.ts runs it in a process of its own. */
import { openPciIds } from '@cyborg/driver-sdk/pci-ids';
import { formatPciAddress } from '@cyborg/driver-sdk/pci';
import type { AgentResult, Health, Inventory } from '@cyborg/driver-sdk/protocol';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import type { Definition } from '../definitions/schema.ts';
import { ServiceCounts } from '../functions.ts';
import type { PciConfig } from './config.ts';
import { toDevice, typeOf, type CardOptions, type DeviceTools, type Listed } from './device.ts';
import { listFunctions, type PciFunction } from '@cyborg/driver-sdk/host-use/function';
import { namesOfNodes } from '@cyborg/driver-sdk/host-use/open-nodes';
import { HolderFinder } from '@cyborg/driver-sdk/host-use/holder-finder';
import { HostTables } from '@cyborg/driver-sdk/host-use/host-tables';
import { handlingOf, type Handling } from './handling.ts';
import type { CardIdentity } from '@cyborg/driver-sdk/card-identity';
import { assignKeys, readIdentities, unidentified, type KnownIdentities } from './identity.ts';
import { compileMatcher } from './match.ts';
import type { OpenNodes } from '@cyborg/driver-sdk/host-use/open-node-table';

export type BoundFunction = AgentResult<'listBound'>['functions'][number];

export interface ScanInput {
  readonly roots: { readonly sysfs: string; readonly proc: string };
  readonly isSimulated: boolean;
  readonly hostName: string;
  readonly config: PciConfig;
  /** Those of the configuration first. */
  readonly definitions?: readonly Definition[];
  /** What the last reading of health found, by address. */
  readonly healths?: Readonly<Record<string, Health>>;
  /** Functions that this agent bound to vfio-pci itself. */
  readonly boundByUs: readonly BoundFunction[];
  /** Who has nodes open is asked of the agent. */
  readonly asksAgent?: boolean;
  /** What the last scan said that it knows. */
  readonly known: KnownIdentities;
  /** Where pci.ids may be; the system's places when absent. */
  readonly pciIdsPaths?: readonly string[];
}

export interface ScanOutput {
  readonly inventory: Inventory;
  /** Of each function that the backend lists, by address. */
  readonly handling: Readonly<Record<string, Handling>>;
  readonly known: KnownIdentities;
}

/** The scan with the tree alone as evidence of what is open. */
export function scan(input: ScanInput, reader: TreeReader): ScanOutput {
  return openScan(input, reader).finish();
}

/** What root sees, and a driver that is nobody is told. */
export interface Told {
  /** Absent: the tree's own processes are looked at. */
  readonly open?: OpenNodes | 'missing' | undefined;
  /** By address; absent: what the tree shows. */
  readonly identities?: ReadonlyMap<string, CardIdentity> | undefined;
}

/** A scan in two halves, between which somebody may be asked what only root sees. */
export interface OpenScan {
  /** Addresses of cards of which it is not known yet who they are. */
  unidentified(): string[];
  /** Nodes of all functions whose use matters, as `openNodes` of the agent takes them. */
  nodes(): string[];
  finish(told?: Told): ScanOutput;
}

export function openScan(input: ScanInput, reader: TreeReader): OpenScan {
  const { sysfs, proc } = input.roots;
  const before = input.boundByUs.map((one) => [one.address, one.kernel_driver] as const);
  const functions = listFunctions(reader, sysfs, new Map(before));
  const listed = selectListed(functions, input);
  const cards = toCards(listed);
  const tables = new HostTables(reader, {
    sysfs,
    proc,
    isEvidenceOfTreeAlone: input.isSimulated,
    boundByUs: input.boundByUs.map(({ address }) => address),
    asksAgent: input.asksAgent ?? false,
  });
  return {
    nodes: () => {
      const relevant = withNeighbours([...listed.values()], functions, tables);
      return [...new Set([...relevant].flatMap((fn) => namesOfNodes(fn, tables)))];
    },
    unidentified: () => unidentified(functionsOf(cards), { reader, known: input.known }),
    finish: ({ open, identities } = {}) => {
      if (open !== undefined) tables.setOpenNodes(open);
      return finish(input, reader, { functions, listed, cards, tables, told: identities });
    },
  };
}

interface Seen {
  readonly functions: ReadonlyMap<string, PciFunction>;
  readonly listed: ReadonlyMap<string, Listed>;
  readonly cards: ReturnType<typeof toCards>;
  readonly tables: HostTables;
  readonly told: Told['identities'];
}

const functionsOf = (cards: Seen['cards']): PciFunction[] => cards.map(({ listed: { fn } }) => fn);

function finish(input: ScanInput, reader: TreeReader, seen: Seen): ScanOutput {
  const { functions, listed, cards, tables, told } = seen;
  const functionsOfCards = functionsOf(cards);
  const { identities, known } = readIdentities(functionsOfCards, {
    reader,
    known: input.known,
    ledgerKeys: ledgerKeysOf(input),
    told,
  });
  const keys = assignKeys(functionsOfCards, identities);
  const mayUnbind = (address: string): boolean => {
    const one = listed.get(address);
    return one !== undefined && handlingOf(one, input.config).mayUnbind;
  };
  const tools: DeviceTools = {
    hostName: input.hostName,
    config: input.config,
    isSimulated: input.isSimulated,
    holders: new HolderFinder(functions, tables, mayUnbind),
    tables,
    functions,
    listed,
    names: openPciIds(reader, input.pciIdsPaths),
    reader,
    sysfs: input.roots.sysfs,
    typeOf,
    healths: input.healths ?? {},
  };
  const services = new ServiceCounts();
  const devices = cards.map((card) => {
    const { fn, match } = card.listed;
    const key = keys.get(fn.address) ?? fn.address;
    const identity = identities.get(fn.address) ?? { serial: null, vpd: {} };
    const device = toDevice({ ...card, key, identity }, tools);
    // A rule that says another type means another service.
    services.add(device, match.rule?.type === undefined ? match.definition?.services : undefined);
    return device;
  });
  const handling = Object.fromEntries(
    [...listed].map(([address, one]) => {
      const inode = reader.inode(one.fn.path);
      return [address, { ...handlingOf(one, input.config), ...(inode !== undefined && { inode }) }];
    }),
  );
  return { inventory: { devices, services: services.list() }, handling, known };
}

function ledgerKeysOf({ boundByUs }: ScanInput): Map<string, string> {
  return new Map(
    boundByUs.flatMap(({ address, accelerator }) =>
      accelerator === undefined ? [] : [[address, accelerator] as const],
    ),
  );
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
  { config, definitions }: ScanInput,
): Map<string, Listed> {
  const matchOf = compileMatcher(config, definitions);
  const listed = new Map<string, Listed>();
  for (const [address, fn] of functions) {
    const match = matchOf(fn);
    if (match !== undefined && !fn.isBridge && !fn.isChipset) listed.set(address, { fn, match });
  }
  return listed;
}

/** A virtual function whose physical function is listed is part of that one's device. */
function isListedBelow(fn: PciFunction, listed: ReadonlyMap<string, Listed>): boolean {
  const parent = fn.physicalFunction === undefined ? undefined : listed.get(fn.physicalFunction);
  return parent?.fn.virtualFunctions.some(({ address }) => address === fn.address) ?? false;
}

/** What is a device by itself, with what is part of it. */
function toCards(
  listed: ReadonlyMap<string, Listed>,
): Pick<CardOptions, 'listed' | 'virtual' | 'siblings'>[] {
  const cards: Pick<CardOptions, 'listed' | 'virtual' | 'siblings'>[] = [];
  const bySlot = new Map<string, Listed[]>();
  for (const card of listed.values()) {
    if (isListedBelow(card.fn, listed)) continue;
    const slot = togetherSlot(card);
    const together = slot === undefined ? undefined : bySlot.get(slot);
    if (together !== undefined) {
      together.push(card);
      continue;
    }
    const siblings: Listed[] = [];
    if (slot !== undefined) bySlot.set(slot, siblings);
    cards.push({ listed: card, virtual: virtualOf(card.fn, listed), siblings });
  }
  return cards;
}

/** Of a function that is one device with others of its slot, by its definition: the definition and the slot. */
function togetherSlot({ fn, match }: Listed): string | undefined {
  const { definition } = match;
  if (definition?.functions !== 'together' || fn.isVirtual) return undefined;
  return `${definition.id} ${formatPciAddress({ ...fn.parsed, function: 0 })}`;
}

function virtualOf(fn: PciFunction, listed: ReadonlyMap<string, Listed>): Listed[] {
  return fn.virtualFunctions.flatMap(({ address }) => listed.get(address) ?? []);
}

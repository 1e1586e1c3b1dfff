/** Reads the tree and says what is there: runs in a process of its own (see ScanProcess), on its arguments alone. */
import { PciIds } from '@cyborg/driver-sdk/pci-ids';
import type { Inventory } from '@cyborg/driver-sdk/protocol';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { servicesOf } from '../functions.ts';
import type { PciConfig } from './config.ts';
import { toDevice, type DeviceTools, type Listed } from './device.ts';
import { listFunctions, type PciFunction } from './function.ts';
import { HolderFinder } from './holder-finder.ts';
import { HostTables } from './host-tables.ts';
import { assignKeys, readIdentities, type KnownIdentities } from './identity.ts';
import { compileMatcher } from './match.ts';

export interface ScanInput {
  readonly roots: { readonly sysfs: string; readonly proc: string };
  readonly isSimulated: boolean;
  readonly hostName: string;
  readonly config: PciConfig;
  /** Addresses that this agent bound to vfio-pci itself. */
  readonly boundByUs: readonly string[];
  /** What the last scan said that it knows. */
  readonly known: KnownIdentities;
  /** Where pci.ids may be; the system's places when absent. */
  readonly pciIdsPaths?: readonly string[];
}

export interface ScanOutput {
  readonly inventory: Inventory;
  readonly known: KnownIdentities;
}

export function scan(input: ScanInput, reader: TreeReader): ScanOutput {
  const { sysfs, proc } = input.roots;
  const functions = listFunctions(reader, sysfs);
  const listed = selectListed(functions, input.config);
  const tables = new HostTables(reader, {
    sysfs,
    proc,
    isEvidenceOfTreeAlone: input.isSimulated,
    boundByUs: input.boundByUs,
  });
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

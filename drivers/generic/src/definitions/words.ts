/** What one part of a device is called: its deployable's name, its resource class and its traits. */
import { deployableName } from '@cyborg/driver-sdk/deployable-name';
import { formatPciId } from '@cyborg/driver-sdk/pci';
import type { AcceleratorType } from '@cyborg/driver-sdk/protocol';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { factsOfType } from '../functions.ts';
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { Match } from '../pci/match.ts';
import { readPatterns } from './read-patterns.ts';
import { renderTraits, type Values } from './template.ts';

export type PartName = 'whole' | 'vfs' | 'mdev';

export interface Words {
  readonly name: string;
  readonly resourceClass: string;
  readonly traits: readonly string[];
}

export interface WordsOptions {
  readonly part: PartName;
  readonly fn: PciFunction;
  readonly match: Match;
  readonly type: AcceleratorType;
  readonly hostName: string;
  readonly reader: TreeReader;
  /** The name where the definition says none: `{host}_{address}`, unless said. */
  readonly defaultName?: string;
  /** What a card calls its type of mediated devices. */
  readonly mdevType?: string;
}

export function wordsOf(options: WordsOptions): Words {
  const { part, fn, match, type, hostName, defaultName = '{host}_{address}' } = options;
  const said = match.definition?.[part];
  // Names begin with `{host}_`: the schema says so.
  const own = (said?.name ?? defaultName).slice('{host}_'.length);
  return {
    name: deployableName(
      hostName,
      own.replaceAll('{address}', fn.address).replaceAll('{host}', hostName),
    ),
    resourceClass:
      match.rule?.resource_class ?? said?.resource_class ?? factsOfType[type].resourceClass,
    traits: [...new Set(traitsOf(options))],
  };
}

/** The ids of every function, by which a profile can ask for a make; then what the definition and the rule say. */
function traitsOf(options: WordsOptions): string[] {
  const { fn, match, part } = options;
  const traits = ['OWNER_CYBORG'];
  if (fn.vendor !== undefined) traits.push(`CUSTOM_PCI_VENDOR_ID_${toHex(fn.vendor)}`);
  if (fn.device !== undefined) traits.push(`CUSTOM_PCI_PRODUCT_ID_${toHex(fn.device)}`);
  const said = match.definition?.[part]?.traits;
  if (said !== undefined) traits.push(...renderTraits(said, valuesFor(options)));
  if (part === 'vfs') traits.push('CUSTOM_VF');
  return [...traits, ...(match.rule?.traits ?? [])];
}

const toHex = (id: number): string => formatPciId(id).slice(2).toUpperCase();

function valuesFor({ fn, match, reader, mdevType }: WordsOptions): Values {
  const { definition, rule } = match;
  const known: Readonly<Record<string, string | undefined>> = {
    VENDOR: wordFor(definition?.vendors, fn.vendor),
    PRODUCT: fn.device === undefined ? undefined : toHex(fn.device),
    MODEL: wordFor(definition?.models, fn.device),
    MDEV_TYPE: mdevType,
    PHYSICAL_NETWORK: rule?.physical_network,
    NETWORK_FUNCTION: rule?.network_function,
  };
  return (name) => {
    const patterns = definition?.read?.[name];
    if (patterns !== undefined) return readPatterns(reader, fn, patterns);
    const value = known[name];
    return value === undefined ? [] : [value];
  };
}

/** Ids are written as `10de`, in either case, with or without 0x. */
function wordFor(
  words: Readonly<Record<string, string>> | undefined,
  id: number | undefined,
): string | undefined {
  if (words === undefined || id === undefined) return undefined;
  const wanted = formatPciId(id).slice(2);
  const found = Object.entries(words).find(
    ([key]) => key.toLowerCase().replace(/^0x/u, '') === wanted,
  );
  return found?.[1];
}

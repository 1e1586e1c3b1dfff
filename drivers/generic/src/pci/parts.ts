/** How a device is divided: the function itself, its virtual functions, its mediated devices. */
import { notApproved } from '@cyborg/driver-sdk/protocol-constants';
import { findUserDriverUse } from '@cyborg/driver-sdk/host-use/user-driver';
import { toAttachInfo } from '@cyborg/driver-sdk/pci';
import type {
  AcceleratorType,
  DriverAccelerator,
  DriverDeployable,
} from '@cyborg/driver-sdk/protocol';
import { wordsOf, type PartName } from '../definitions/words.ts';
import { factsOfType } from '../functions.ts';
import type { CardOptions, DeviceTools, Listed } from './device.ts';
import { groupFacts, obstacleOf, rootPortOf } from './group.ts';
import { handlingOf } from './handling.ts';
import { mdevsMax, readMdevs, toMdevAccelerators, type Mdevs } from './mdev.ts';

/** What the protocol takes for one device, with room for the function itself. */
const deployablesMax = 500;

/** A function of a card that is given by itself, or divided by itself. */
export interface Part {
  readonly listed: Listed;
  readonly key: string;
}

export function toDeployables(card: CardOptions, tools: DeviceTools): DriverDeployable[] {
  const { listed, key } = card;
  const mdevs = readMdevs(listed, { ...tools, key });
  if (mdevs !== undefined && !('missing' in mdevs)) {
    return [toMdevs([{ listed, key, mdevs }], { key, tools })];
  }
  const whole = toWhole(card, tools, mdevs?.missing);
  return [whole, ...toVirtual(card, tools)];
}

function toWhole(
  card: CardOptions,
  tools: DeviceTools,
  missing: string | undefined,
): DriverDeployable {
  const { listed, key, virtual, siblings } = card;
  const { fn } = listed;
  const enabled = Math.max(virtual.length, fn.integer('sriov_numvfs') ?? 0);
  const whole = toAccelerator(listed, { key, tools });
  const own = missing === undefined ? whole : withObstacle(whole, missing);
  const wanted = handlingOf(listed, tools.config).vfCount ?? 0;
  const accelerators = [
    enabled > 0 ? withObstacle(own, divided(enabled)) : toBeDivided(own, wanted, tools),
    ...siblings.map((item) =>
      toAccelerator(item, { key: `${key}/f${item.fn.parsed.function}`, tools }),
    ),
  ];
  return { key, ...toWords(listed, 'whole', { tools }), accelerators };
}

/** It is not given whole before its virtual functions are made, for then they could not be. */
function toBeDivided(
  whole: DriverAccelerator,
  wanted: number,
  { isSimulated }: DeviceTools,
): DriverAccelerator {
  if (wanted === 0 || isSimulated) return whole;
  return withObstacle(whole, `to be divided into ${wanted} virtual functions, by its rule`);
}

function divided(count: number): string {
  return `divided into ${count} virtual functions: give those, or disable them to give it whole`;
}

/** Stays so whoever approves it. */
function withObstacle(accelerator: DriverAccelerator, obstacle: string): DriverAccelerator {
  const reason = accelerator.host_use === null ? obstacle : accelerator.reason;
  return { ...accelerator, reason, obstacle, offered: false };
}

/** The card's virtual functions with their keys, which stay when they are made anew. */
export function virtualParts({ listed, key, virtual }: CardOptions): Part[] {
  const indexes = new Map(listed.fn.virtualFunctions.map(({ address, index }) => [address, index]));
  return virtual.map((item) => ({
    listed: withDefinitionOf(item, listed),
    key: `${key}/vf${indexes.get(item.fn.address) ?? item.fn.address}`,
  }));
}

/** What is divided once more is given as that; the others as they are. */
function toVirtual(card: CardOptions, tools: DeviceTools): DriverDeployable[] {
  const whole: WholePart[] = [];
  const byType = new Map<string, Divided>();
  for (const part of virtualParts(card)) {
    const mdevs = readMdevs(part.listed, { ...tools, key: part.key });
    if (mdevs === undefined || 'missing' in mdevs) {
      whole.push({ ...part, ...mdevs });
      continue;
    }
    const alike = byType.get(mdevs.type);
    if (alike === undefined) byType.set(mdevs.type, [{ ...part, mdevs }]);
    else alike.push({ ...part, mdevs });
  }
  const vgpus = [...byType].map(([type, parts]) =>
    toMdevs(parts, { key: `${card.key}/mdevs/${type}`, tools }),
  );
  return [...toWholeVirtual(card, tools, whole), ...vgpus];
}

interface WholePart extends Part {
  /** Why it is not divided, as its rule says it should be. */
  readonly missing?: string;
}

/** The virtual functions of one card are one deployable, or one each where its definition says so. */
function toWholeVirtual(
  { listed, key }: CardOptions,
  tools: DeviceTools,
  parts: readonly WholePart[],
): DriverDeployable[] {
  const [first] = parts;
  if (first === undefined) return [];
  const toOne = ({ missing, ...part }: WholePart): DriverAccelerator => {
    const whole = toAccelerator(part.listed, { key: part.key, tools });
    return missing === undefined ? whole : withObstacle(whole, missing);
  };
  const { definition } = listed.match;
  if (definition?.vfs?.deployable === 'each' && parts.length <= deployablesMax) {
    return parts.map((part) => ({
      key: part.key,
      ...toWords(part.listed, 'vfs', { tools }),
      accelerators: [toOne(part)],
    }));
  }
  const words = toWords(first.listed, 'vfs', {
    tools,
    defaultName: '{host}_{address}_vfs',
    at: listed,
  });
  return [{ key: `${key}/vfs`, ...words, accelerators: parts.map(toOne) }];
}

/** What a card's definition says of virtual functions counts, not what one says of a function like them. */
function withDefinitionOf(item: Listed, { match }: Listed): Listed {
  const { definition = item.match.definition } = match;
  return { ...item, match: { ...item.match, definition } };
}

interface DividedPart extends Part {
  readonly mdevs: Mdevs;
}

type Divided = [DividedPart, ...DividedPart[]];

/** One deployable of all functions of a card that are divided into the same type, named after the first. */
function toMdevs(
  parts: Readonly<Divided>,
  { key, tools }: { readonly key: string; readonly tools: DeviceTools },
): DriverDeployable {
  const [{ listed, mdevs: facts }] = parts;
  let left = roomIn(parts);
  const accelerators = parts.flatMap((part) => {
    const whole = toAccelerator(part.listed, { key: part.key, tools, isParent: true });
    const found = toMdevAccelerators(whole, part.mdevs, left);
    left -= found.length - part.mdevs.own.length;
    return found;
  });
  return {
    key,
    ...toWords(listed, 'mdev', { tools, mdevType: facts.name }),
    accelerators: accelerators.slice(0, mdevsMax),
  };
}

/** Each virtual function says that it has room, and their card has not for one of each. */
function roomIn(parts: Readonly<Divided>): number {
  const [{ mdevs }, ...others] = parts;
  if (others.length === 0 || mdevs.max === undefined) return mdevsMax;
  const made = parts.reduce((sum, part) => sum + part.mdevs.made, 0);
  return Math.max(0, mdevs.max - made);
}

interface WordsWish {
  readonly tools: DeviceTools;
  readonly defaultName?: string;
  readonly mdevType?: string;
  /** The function whose address the name has, where that is another one. */
  readonly at?: Listed;
}

function toWords(
  listed: Listed,
  asked: PartName,
  { tools, at, ...rest }: WordsWish,
): Pick<DriverDeployable, 'name' | 'resource_class' | 'traits'> {
  const { fn, match } = listed;
  // A virtual function whose physical one is not listed is still one.
  const part = asked === 'whole' && fn.isVirtual ? 'vfs' : asked;
  const options = { part, fn, match, type: tools.typeOf(listed), ...rest };
  const { hostName, reader } = tools;
  const { name, resourceClass, traits } = wordsOf({ ...options, hostName, reader });
  const named = at === undefined ? name : wordsOf({ ...options, hostName, reader, fn: at.fn }).name;
  return { name: named, resource_class: resourceClass, traits: [...traits] };
}

interface AcceleratorWish {
  readonly key: string;
  readonly tools: DeviceTools;
  /** Not the function is given but what its kernel driver makes of it. */
  readonly isParent?: boolean;
}

export function toAccelerator(
  listed: Listed,
  { key, tools, isParent = false }: AcceleratorWish,
): DriverAccelerator {
  const { fn, match } = listed;
  // The kernel driver of a parent divides it between its host and guests: only who took the whole is in the way.
  const use = isParent ? findUserDriverUse(fn, tools.tables) : tools.holders.find(fn);
  const approval = isApproved(listed, tools) ? null : notApproved;
  const obstacle = isParent ? null : obstacleOf(listed, tools);
  const claim = use?.certainty === 'seen' ? 'in use by the host' : 'may be in use by the host';
  const held = use === undefined ? null : `${claim}: ${use.text}`.slice(0, 1024);
  // What somebody holds is said first; that evidence is missing matters to who would offer it.
  const reason = use?.certainty === 'seen' ? held : (approval ?? held ?? obstacle);
  const type: AcceleratorType = tools.typeOf(listed);
  const network = match.rule?.physical_network;
  return {
    key,
    name: `${factsOfType[type].noun}-${fn.address}`,
    type,
    plans: ['pci'],
    offered: reason === null,
    reason,
    obstacle,
    host_use: use?.text.slice(0, 1024) ?? null,
    ...(isParent ? { pcie_root: rootPortOf(fn) } : groupFacts(fn, tools)),
    attach_info: {
      ...toAttachInfo(fn.parsed),
      ...(network !== undefined && { physical_network: network }),
    },
  };
}

function isApproved({ match }: Listed, { config, isSimulated }: DeviceTools): boolean {
  const offer = config.offer ?? (isSimulated ? 'all' : 'rules');
  return offer === 'all' || (offer === 'rules' && match.rule?.offer === true);
}

/** How a device is divided: the function itself, its virtual functions, its mediated devices. */
import { notApproved } from '@cyborg/driver-sdk/protocol-constants';
import { toAttachInfo } from '@cyborg/driver-sdk/pci';
import type {
  AcceleratorType,
  DriverAccelerator,
  DriverDeployable,
} from '@cyborg/driver-sdk/protocol';
import { wordsOf, type PartName } from '../definitions/words.ts';
import { factsOfType } from '../functions.ts';
import type { CardOptions, DeviceTools, Listed } from './device.ts';
import { groupFacts, obstacleOf } from './group.ts';
import { handlingOf } from './handling.ts';
import { readMdevs, toMdevAccelerators, type Mdevs } from './mdev.ts';

/** What the protocol takes for one device, with room for the function itself. */
const deployablesMax = 500;

export function toDeployables(card: CardOptions, tools: DeviceTools): DriverDeployable[] {
  const mdevs = readMdevs(card.listed, tools.reader);
  if (mdevs !== undefined && !('missing' in mdevs)) return [toMdevs(card, tools, mdevs)];
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

/** The virtual functions of one card are one deployable, or one each where its definition says so. */
function toVirtual({ listed, key, virtual }: CardOptions, tools: DeviceTools): DriverDeployable[] {
  const [first] = virtual;
  if (first === undefined) return [];
  const indexes = new Map(listed.fn.virtualFunctions.map(({ address, index }) => [address, index]));
  const keyOf = ({ fn }: Listed): string => `${key}/vf${indexes.get(fn.address) ?? fn.address}`;
  const { definition } = listed.match;
  const toOne = (item: Listed): DriverAccelerator =>
    toAccelerator(item, { key: keyOf(item), tools });
  if (definition?.vfs?.deployable === 'each' && virtual.length <= deployablesMax) {
    return virtual.map((item) => ({
      key: keyOf(item),
      ...toWords(withDefinitionOf(item, listed), 'vfs', { tools }),
      accelerators: [toOne(item)],
    }));
  }
  const described = withDefinitionOf(first, listed);
  const words = toWords(described, 'vfs', {
    tools,
    defaultName: '{host}_{address}_vfs',
    at: listed,
  });
  return [{ key: `${key}/vfs`, ...words, accelerators: virtual.map(toOne) }];
}

/** What a card's definition says of virtual functions counts, not what one says of a function like them. */
function withDefinitionOf(item: Listed, { match }: Listed): Listed {
  const { definition = item.match.definition } = match;
  return { ...item, match: { ...item.match, definition } };
}

function toMdevs({ listed, key }: CardOptions, tools: DeviceTools, mdevs: Mdevs): DriverDeployable {
  const whole = toAccelerator(listed, { key, tools, isParent: true });
  return {
    key,
    ...toWords(listed, 'mdev', { tools, mdevType: mdevs.name }),
    accelerators: toMdevAccelerators(whole, mdevs),
  };
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
  const use = tools.holders.find(fn);
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
    ...(!isParent && groupFacts(fn, tools)),
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

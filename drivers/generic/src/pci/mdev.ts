/**
 * Mediated devices of a card, by the kernel's `mdev_supported_types`
 * (https://docs.kernel.org/driver-api/vfio-mediated-device.html). Made when one is attached, removed when it is detached.
 */
import { createHash } from 'node:crypto';
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { DriverAccelerator } from '@cyborg/driver-sdk/protocol';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import type { Listed } from './device.ts';
import { freeOf, madeOf, maxOf, titleOf, typesOf } from './mdev-types.ts';

export interface Mdevs {
  /** The kernel's name of the type: `nvidia-35`. */
  readonly type: string;
  /** What the vendor calls it, without its own name: `T4_2B` of `GRID T4-2B`. */
  readonly name: string;
  /** Those of ours that are made, of whichever type a rule said then. */
  readonly own: readonly Place[];
  /** How many more the kernel would make. */
  readonly free: number;
  /** How many of the type there are, whoever made them. */
  readonly made: number;
  /** How many of the type a whole card can have, where its driver says so. */
  readonly max: number | undefined;
}

/** Mediated devices of one function are numbered; each keeps its number, and with it its UUID. */
interface Place {
  readonly index: number;
  readonly type: string;
}

export interface MdevWish {
  /** Of the function that they are made of. */
  readonly key: string;
  readonly hostName: string;
  readonly reader: TreeReader;
}

/** What the protocol takes for one deployable. */
export const mdevsMax = 1024;

/** Undefined when no rule wants them; `missing` says why there are none of the type. */
export function readMdevs(
  { fn, match }: Listed,
  { key, hostName, reader }: MdevWish,
): Mdevs | { readonly missing: string } | undefined {
  const type = match.rule?.mdev_type;
  if (type === undefined) return undefined;
  const missing = whyMissing({ fn, match }, type, reader);
  if (missing !== undefined) return { missing: missing.slice(0, 1024) };
  const made = madeOf(fn, reader);
  return {
    type,
    name: shortName(titleOf(fn, type, reader).name),
    own: ownAmong(made, { hostName, key }),
    free: freeOf(fn, type, reader) ?? 1, // how many is not said: one more may be tried at any time
    made: [...made.values()].filter((one) => one === type).length,
    max: maxOf(fn, type, reader),
  };
}

function whyMissing({ fn, match }: Listed, type: string, reader: TreeReader): string | undefined {
  const { definition } = match;
  if (definition?.mdev === undefined) {
    return `no definition says that it can be divided into mediated devices`;
  }
  const { types } = definition.mdev;
  if (types !== undefined && !types.includes(type)) {
    return `definition ${definition.id} has no mediated type ${type}`;
  }
  const available = typesOf(fn, reader);
  if (available.includes(type)) return undefined;
  const list = available.join(', ') || 'none';
  return `mediated type ${type} is not the card's; it has ${list}`;
}

/** Others make some too (mdevctl, Nova): those are not ours to give, and no place of ours stands for them. */
function ownAmong(
  made: ReadonlyMap<string, string>,
  { hostName, key }: Pick<MdevWish, 'hostName' | 'key'>,
): Place[] {
  const own: Place[] = [];
  for (let index = 0; index < mdevsMax && own.length < made.size; index += 1) {
    const type = made.get(mdevUuid(hostName, mdevKey(key, index)));
    if (type !== undefined) own.push({ index, type });
  }
  return own;
}

/** `GRID T4-2B` is T4_2B in traits, as upstream's driver has it. */
function shortName(title: string): string {
  const [first = title, second = first] = title.split(' ');
  return second.replaceAll('-', '_');
}

/** Those that are made, and as many places as the kernel would still fill, at most `freeMax`. */
export function toMdevAccelerators(
  whole: DriverAccelerator,
  mdevs: Mdevs,
  freeMax: number,
): DriverAccelerator[] {
  const taken = new Set(mdevs.own.map(({ index }) => index));
  const count = Math.min(mdevsMax - taken.size, mdevs.free, freeMax);
  const places = [...mdevs.own];
  for (let index = 0; places.length < taken.size + count; index += 1) {
    if (!taken.has(index)) places.push({ index, type: mdevs.type });
  }
  return places
    .toSorted((a, b) => a.index - b.index)
    .map((place) => toMdevAccelerator(whole, mdevs, place));
}

/** The kernel driver of the card is what makes them, so that it has one is no obstacle here. */
function toMdevAccelerator(
  whole: DriverAccelerator,
  mdevs: Mdevs,
  { index, type }: Place,
): DriverAccelerator {
  // It was attached as what its rule said then, and stays that until it is detached.
  const change = type === mdevs.type ? null : `made as ${type}; its rule says ${mdevs.type} now`;
  const reason = whole.reason ?? change;
  return {
    ...whole,
    key: mdevKey(whole.key, index),
    name: `${whole.name}-${type}-${index}`,
    plans: ['mdev'],
    offered: reason === null,
    reason,
    attach_info: { ...whole.attach_info, asked_type: type, vgpu_mark: `${type}_${index}` },
  };
}

/** UUIDs with their types of what is made of the function, but not by us. */
export function othersOf(
  fn: PciFunction,
  { key, hostName, reader }: MdevWish,
): ReadonlyMap<string, string> {
  const made = madeOf(fn, reader);
  const places = ownAmong(made, { hostName, key });
  const own = new Set(places.map(({ index }) => mdevUuid(hostName, mdevKey(key, index))));
  return new Map([...made].filter(([uuid]) => !own.has(uuid)));
}

function mdevKey(key: string, index: number): string {
  return `${key}/mdev${index}`;
}

/** The same for the same accelerator, whoever asks and when: what was made is found again after any crash. */
export function mdevUuid(hostName: string, acceleratorKey: string): string {
  const hash = createHash('sha256').update(`${hostName}\n${acceleratorKey}`).digest('hex');
  // Version 8 (RFC 9562): made from what somebody chose.
  const parts = [
    hash.slice(0, 8),
    hash.slice(8, 12),
    `8${hash.slice(13, 16)}`,
    `8${hash.slice(17, 20)}`,
  ];
  return [...parts, hash.slice(20, 32)].join('-');
}

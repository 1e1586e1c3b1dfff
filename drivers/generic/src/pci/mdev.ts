/**
 * Mediated devices of a card, by the kernel's `mdev_supported_types`
 * (https://docs.kernel.org/driver-api/vfio-mediated-device.html). Made when one is attached, removed when it is detached.
 */
import { createHash } from 'node:crypto';
import type { DriverAccelerator } from '@cyborg/driver-sdk/protocol';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import type { Listed } from './device.ts';

export interface Mdevs {
  /** The kernel's name of the type: `nvidia-35`. */
  readonly type: string;
  /** What the vendor calls it, without its own name: `T4_2B` of `GRID T4-2B`. */
  readonly name: string;
  /** Made and still to be made. */
  readonly count: number;
}

/** What the protocol takes for one deployable. */
const mdevsMax = 1024;

/** Undefined when no rule wants them; `missing` says why there are none of the type. */
export function readMdevs(
  { fn, match }: Listed,
  reader: TreeReader,
): Mdevs | { readonly missing: string } | undefined {
  const type = match.rule?.mdev_type;
  if (type === undefined) return undefined;
  const { definition } = match;
  if (definition?.mdev === undefined) {
    return { missing: `no definition says that it can be divided into mediated devices` };
  }
  const { types } = definition.mdev;
  if (types !== undefined && !types.includes(type)) {
    return { missing: `definition ${definition.id} has no mediated type ${type}` };
  }
  const folder = `${fn.path}/mdev_supported_types`;
  const available = fn.has('mdev_supported_types') ? (reader.names(folder) ?? []) : [];
  if (!available.includes(type)) {
    const list = available.length > 0 ? available.toSorted().join(', ') : 'none';
    return { missing: `mediated type ${type} is not the card's; it has ${list}`.slice(0, 1024) };
  }
  const free = reader.integer(`${folder}/${type}/available_instances`) ?? 0;
  const made = reader.names(`${folder}/${type}/devices`)?.length ?? 0;
  const title = reader.text(`${folder}/${type}/name`) ?? type;
  return { type, name: shortName(title), count: Math.min(free + made, mdevsMax) };
}

/** `GRID T4-2B` is T4_2B in traits, as upstream's driver has it. */
function shortName(title: string): string {
  const [first = title, second = first] = title.split(' ');
  return second.replaceAll('-', '_');
}

/** The kernel driver of the card is what makes them, so that it has one is no obstacle here. */
export function toMdevAccelerators(whole: DriverAccelerator, mdevs: Mdevs): DriverAccelerator[] {
  return Array.from({ length: mdevs.count }, (_, index) => ({
    ...whole,
    key: `${whole.key}/mdev${index}`,
    name: `${whole.name}-${mdevs.type}-${index}`,
    plans: ['mdev'],
    attach_info: {
      ...whole.attach_info,
      asked_type: mdevs.type,
      vgpu_mark: `${mdevs.type}_${index}`,
    },
  }));
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

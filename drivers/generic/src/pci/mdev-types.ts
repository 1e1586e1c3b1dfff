/** What the kernel says of a function's mediated devices: the types, how many of each are free, and those that are made. */
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';

const typesFolder = 'mdev_supported_types';
const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/u;

/** In order; none for what cannot be divided so, or has no kernel driver that does it. */
export function typesOf(fn: PciFunction, reader: TreeReader): string[] {
  if (!fn.has(typesFolder)) return [];
  return (reader.names(`${fn.path}/${typesFolder}`) ?? []).toSorted();
}

/** Undefined: its driver has no such attribute. What is there and cannot be read counts as none. */
export function freeOf(fn: PciFunction, type: string, reader: TreeReader): number | undefined {
  const file = `${fn.path}/${typesFolder}/${type}/available_instances`;
  const free = reader.integer(file);
  if (free !== undefined) return Math.max(free, 0);
  return reader.exists(file) ? 0 : undefined;
}

export interface TypeTitle {
  /** The kernel's own name of the type where its driver gives no other. */
  readonly name: string;
  /** Undefined: its driver gives none. */
  readonly description: string | undefined;
}

export function titleOf(fn: PciFunction, type: string, reader: TreeReader): TypeTitle {
  const folder = `${fn.path}/${typesFolder}/${type}`;
  const description = reader.text(`${folder}/description`)?.replaceAll(/\s*\n\s*/gu, ', ');
  return {
    name: reader.text(`${folder}/name`) || type,
    description: description === '' ? undefined : description,
  };
}

/** NVIDIA's driver says it in the description. */
export function maxOf(fn: PciFunction, type: string, reader: TreeReader): number | undefined {
  const { description = '' } = titleOf(fn, type, reader);
  const max = /\bmax_instance=(\d{1,4})\b/u.exec(description)?.[1];
  return max === undefined ? undefined : Number(max);
}

/** Types by UUID of all that are made of the function, whoever made them. */
export function madeOf(fn: PciFunction, reader: TreeReader): ReadonlyMap<string, string> {
  const made = new Map<string, string>();
  for (const [name, kind] of fn.entries) {
    if (kind !== 'directory' || !uuidForm.test(name)) continue;
    const type = reader.linkName(`${fn.path}/${name}/mdev_type`);
    if (type !== undefined) made.set(name, type);
  }
  return made;
}

/** Reads what a host has of what a driver needs: the module of a process of its own, because a file may block. */
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';

export interface LookOrder {
  readonly sysfs: string;
  readonly proc: string;
  /** Where `lib/modules` is. */
  readonly root: string;
  readonly modules: readonly string[];
  readonly pageSizesKib: readonly number[];
}

export interface ModuleState {
  readonly name: string;
  /** Loaded, or part of the kernel. */
  readonly isThere: boolean;
  /** By how many it is used; null for a part of the kernel, which cannot be taken out. */
  readonly users: number | null;
}

export interface HostFacts {
  /** Undefined: /proc/cmdline cannot be read. */
  readonly kernelArguments?: readonly string[];
  readonly modules: readonly ModuleState[];
  /** By size; what the kernel does not have has no entry. */
  readonly hugepages: readonly { readonly sizeKib: number; readonly count: number }[];
  /** Different after each start of the machine. */
  readonly bootId: string | null;
  /** Of the kernel. */
  readonly release: string | null;
}

export function scan(order: LookOrder, reader: TreeReader): HostFacts {
  const { proc, sysfs } = order;
  const line = reader.text(`${proc}/cmdline`, 64 * 1024);
  const release = reader.text(`${proc}/sys/kernel/osrelease`) ?? null;
  return {
    ...(line !== undefined && { kernelArguments: splitArguments(line) }),
    modules: lookAtModules(order, release, reader),
    hugepages: order.pageSizesKib.flatMap((sizeKib) => {
      const file = `${sysfs}/kernel/mm/hugepages/hugepages-${sizeKib}kB/nr_hugepages`;
      const count = reader.integer(file);
      return count === undefined ? [] : [{ sizeKib, count }];
    }),
    bootId: reader.text(`${proc}/sys/kernel/random/boot_id`) ?? null,
    release,
  };
}

/** Double quotes hold spaces together. */
function splitArguments(line: string): string[] {
  return (line.match(/(?:[^\s"]|"[^"]*")+/gu) ?? []).map((word) => word.replaceAll('"', ''));
}

function lookAtModules(
  { proc, sysfs, root, modules }: LookOrder,
  release: string | null,
  reader: TreeReader,
): ModuleState[] {
  if (modules.length === 0) return [];
  const loaded = new Map(
    (reader.lines(`${proc}/modules`) ?? []).map((line) => {
      const [name = '', , users] = line.split(' ');
      return [name, Number(users)] as const;
    }),
  );
  const builtin =
    release === null ? [] : reader.lines(`${root}/lib/modules/${release}/modules.builtin`);
  const parts = new Set((builtin ?? []).map((path) => toModuleName(path.replace(/^.*\//u, ''))));
  return modules.map((asked) => {
    const name = toModuleName(asked);
    const users = loaded.get(name);
    if (users !== undefined) return { name, isThere: true, users };
    // A part of the kernel has a folder there when it has parameters.
    const isThere = parts.has(name) || reader.exists(`${sysfs}/module/${name}`);
    return { name, isThere, users: null };
  });
}

/** `vfio-pci.ko.xz` and `vfio-pci` are what the kernel calls `vfio_pci`. */
export function toModuleName(name: string): string {
  return name.replace(/\.ko(?:\.\w+)?$/u, '').replaceAll('-', '_');
}

import type { TreeReader } from '../sysfs.ts';

export interface NvmeSubsystem {
  /** `nvme0n1`: shown here and not below a controller where native multipath puts several paths together. */
  readonly disks: readonly string[];
  /** `ng0n1`, by which programs send commands to such a disk. */
  readonly characters: readonly { readonly name: string; readonly path: string }[];
}

/** By controller (`nvme0`). */
export function readNvmeSubsystems(reader: TreeReader, sysfs: string): Map<string, NvmeSubsystem> {
  const found = new Map<string, NvmeSubsystem>();
  const folder = `${sysfs}/devices/virtual/nvme-subsystem`;
  for (const subsystem of reader.names(folder) ?? []) {
    const path = `${folder}/${subsystem}`;
    const names = reader.names(path) ?? [];
    const disks = names.filter((name) => /^nvme\d+n\d+$/u.test(name));
    const characters = names.filter((name) => /^ng\d+n\d+$/u.test(name));
    const one = {
      disks,
      characters: characters.map((name) => ({ name, path: `${path}/${name}` })),
    };
    for (const name of names.filter((entry) => /^nvme\d+$/u.test(entry))) found.set(name, one);
  }
  return found;
}

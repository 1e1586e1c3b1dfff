/** Disks that the kernel itself reads and writes for somebody and that no process has open: by the node it was told. */
import { statSync } from 'node:fs';
import { numberOf } from '../device-number.ts';
import type { TreeReader } from '../sysfs.ts';

export interface Export {
  /** As it was told: `/dev/nvme0n1p1`, or a link to it. */
  readonly node: string;
  /** `b259:1`; undefined where the node is not to be asked. */
  readonly number: string | undefined;
  /** What the disk is part of: `loop device loop3`. */
  readonly by: string;
}

const devicesMax = 4096;

/** @param isThisMachine  the nodes of this machine's /dev are those that the tree speaks of. */
export function readExports(reader: TreeReader, sysfs: string, isThisMachine: boolean): Export[] {
  const all = [
    ...loops(reader, sysfs),
    ...nvmeTargets(reader, sysfs),
    ...scsiTargets(reader, sysfs),
  ];
  return all.slice(0, devicesMax).flatMap(({ file, by }) => {
    const node = reader.text(file)?.replace(/ \(deleted\)$/u, '');
    if (node?.startsWith('/dev/') !== true) return [];
    return [
      {
        node,
        number: isThisMachine ? numberOf(reader.probe(node, () => statSync(node))) : undefined,
        by,
      },
    ];
  });
}

interface Place {
  readonly file: string;
  readonly by: string;
}

function loops(reader: TreeReader, sysfs: string): Place[] {
  const names = reader.names(`${sysfs}/block`) ?? [];
  return names
    .filter((name) => /^loop\d+$/u.test(name))
    .map((name) => ({
      file: `${sysfs}/block/${name}/loop/backing_file`,
      by: `loop device ${name}`,
    }));
}

function nvmeTargets(reader: TreeReader, sysfs: string): Place[] {
  const folder = `${sysfs}/kernel/config/nvmet/subsystems`;
  return (reader.names(folder) ?? []).flatMap((subsystem) => {
    const inside = `${folder}/${subsystem}/namespaces`;
    return (reader.names(inside) ?? []).map((name) => ({
      file: `${inside}/${name}/device_path`,
      by: `NVMe target ${subsystem}`,
    }));
  });
}

function scsiTargets(reader: TreeReader, sysfs: string): Place[] {
  const folder = `${sysfs}/kernel/config/target/core`;
  return (reader.names(folder) ?? []).flatMap((adapter) =>
    (reader.names(`${folder}/${adapter}`) ?? []).map((name) => ({
      file: `${folder}/${adapter}/${name}/udev_path`,
      by: `SCSI target ${name}`,
    })),
  );
}

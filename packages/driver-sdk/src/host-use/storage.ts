import type { BlockDevice, HostTables } from './host-tables.ts';
import { seen, unknown, type HolderCheck, type HostUse } from './host-use.ts';

const storageClass = 0x01;

/** Disks with mounted file systems, swap, or LVM, MD, device-mapper or ZFS on top, and those that the kernel gives out. */
export const findStorageUse: HolderCheck = (fn, tables) => {
  const disks = tables.blockDevicesOf(fn);
  let missing: HostUse | undefined;
  for (const disk of disks) {
    const use = diskUse(disk, tables);
    if (use?.certainty === 'seen') return use;
    missing ??= use;
  }
  const isStorage = (fn.class ?? 0) >>> 16 === storageClass && fn.driver !== undefined;
  const cannotTell =
    disks.length === 0 && !tables.hasClass('block') && !fn.driver?.includes('vfio');
  if (isStorage && cannotTell) {
    return unknown('the tree has no block devices: whether a disk of its own is in use is unknown');
  }
  return missing;
};

function diskUse(disk: BlockDevice, tables: HostTables): HostUse | undefined {
  const holder = tables.reader.names(`${disk.path}/holders`);
  const [first] = holder ?? [];
  if (first !== undefined) return seen(`disk ${disk.name} is part of ${describe(first, tables)}`);
  const mount = tables.mountOf(disk);
  if (mount !== undefined) return seen(`disk ${disk.name} is mounted at ${mount}`);
  if (tables.isSwap(disk)) return seen(`disk ${disk.name} is swap`);
  const target = tables.exportOf(disk);
  if (target !== undefined) return seen(`disk ${disk.name} is given out as ${target}`);
  const zfs = zfsUse(disk, tables);
  if (zfs !== undefined) return zfs;
  if (holder === undefined) return unknown(`disk ${disk.name}: its holders cannot be listed`);
  if (tables.mountEvidence === 'missing') {
    return unknown(`disk ${disk.name}: the tables of mounts and swap cannot be read`);
  }
  return undefined;
}

/** ZFS leaves no trace in `holders`: a pool that is imported may be on any disk that is not seen to be something else's. */
function zfsUse(disk: BlockDevice, tables: HostTables): HostUse | undefined {
  const pools = tables.zfsPools();
  if (pools.length === 0) return undefined;
  const uevent = tables.reader.text(`${disk.path}/uevent`) ?? '';
  const names = pools.join(', ');
  if (/^PARTNAME=zfs/mu.test(uevent)) return seen(`disk ${disk.name} is part of ZFS pool ${names}`);
  return unknown(`ZFS pools are imported (${names}), and the kernel does not say on which disks`);
}

/** Says what a holder is: a volume of LVM, an MD array, another device-mapper target. */
function describe(holder: string, { reader, sysfs }: HostTables): string {
  const path = `${sysfs}/class/block/${holder}`;
  const folder = reader.exists(path) ? path : `${sysfs}/block/${holder}`;
  const uuid = reader.text(`${folder}/dm/uuid`) ?? '';
  const name = reader.text(`${folder}/dm/name`) ?? holder;
  if (uuid.startsWith('LVM-')) return `LVM volume ${name}`;
  if (uuid.startsWith('CRYPT-')) return `encrypted volume ${name}`;
  if (uuid.startsWith('mpath-')) return `multipath device ${name}`;
  if (holder.startsWith('dm-')) return `device-mapper device ${name}`;
  if (holder.startsWith('md')) return `MD array ${holder}`;
  return holder;
}

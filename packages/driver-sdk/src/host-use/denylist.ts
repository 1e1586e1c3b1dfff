/** Functions that vfio-pci does not take unless it is told to (vfio_pci_dev_in_denylist in drivers/vfio/pci/vfio_pci.c). */
import { formatPciId } from '../pci.ts';
import type { TreeReader } from '../sysfs.ts';
import type { PciFunction } from './function.ts';

const denied: ReadonlySet<string> = new Set([
  '0x8086:0x0435', // QAT DH895xCC, and its virtual functions
  '0x8086:0x0443',
  '0x8086:0x37c8', // C62x
  '0x8086:0x37c9',
  '0x8086:0x19e2', // C3xxx
  '0x8086:0x19e3',
  '0x8086:0x0b25', // DSA and IAX of Sapphire Rapids
  '0x8086:0x0cfe',
]);

/** @returns why vfio-pci will not take it; undefined also while the module is not loaded, which nobody can ask then. */
export function findDenial(
  { address, vendor = 0, device = 0 }: PciFunction,
  reader: TreeReader,
  sysfs: string,
): string | undefined {
  const ids = `${formatPciId(vendor)}:${formatPciId(device)}`;
  if (!denied.has(ids)) return undefined;
  const file = `${sysfs}/module/vfio_pci/parameters/disable_denylist`;
  if (reader.text(file) !== 'N') return undefined;
  return `vfio-pci has ${address} (${ids}) on its list of what is unsafe for guests: where that is accepted, "options vfio_pci disable_denylist=1" in /etc/modprobe.d, and load the module anew`;
}

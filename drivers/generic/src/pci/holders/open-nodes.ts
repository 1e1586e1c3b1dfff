import type { PciFunction } from '../function.ts';
import type { HostTables } from '../host-tables.ts';
import { seen, unknown, type HolderCheck } from './host-use.ts';

/** Processes that have one of the function's device nodes open, or a BAR of it through sysfs. */
export const findNodeUse: HolderCheck = (fn, tables) => {
  if (fn.driver === undefined && !tables.isProcReadable) return undefined; // nothing made nodes
  const { folders, isComplete } = tables.foldersOf(fn);
  const nodes = [
    ...folders.flatMap((folder) => tables.nodeOf(folder) ?? []),
    ...extraNodes(fn, tables),
  ];
  const open = tables.openNodes();
  if (open !== 'missing') {
    const holder = open.holders.get(fn.address);
    if (holder !== undefined) return seen(`its memory is open in ${holder}`);
    for (const node of nodes) {
      const user = open.holders.get(node);
      if (user !== undefined) return seen(`${node} is open in ${user}`);
    }
  }
  const [first] = nodes;
  if (!isComplete) return unknown('its folder is too large to look for device nodes');
  if (first === undefined || tables.isEvidenceOfTreeAlone) return undefined;
  if (open === 'missing') return unknown(`whether ${first} is open is unknown: no process table`);
  if (open.isComplete) return undefined;
  return unknown(
    `whether ${first} is open is unknown: the files of other users' processes are hidden`,
  );
};

/** Nodes that the tree does not show below the function. */
function extraNodes(fn: PciFunction, tables: HostTables): string[] {
  const { driver, iommuGroup, address } = fn;
  if (driver?.includes('vfio') === true && iommuGroup !== undefined) {
    return [`/dev/vfio/${iommuGroup}`];
  }
  if (driver !== 'nvidia') return [];
  const text = tables.reader.text(`${tables.proc}/driver/nvidia/gpus/${address}/information`);
  const minor = /^Device Minor:\s*(\d{1,5})$/mu.exec(text ?? '')?.[1];
  return minor === undefined ? [] : [`/dev/nvidia${minor}`];
}

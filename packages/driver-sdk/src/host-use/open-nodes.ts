import type { PciFunction } from './function.ts';
import type { DeviceNode, HostTables } from './host-tables.ts';
import { seen, unknown, type HolderCheck, type HostUse } from './host-use.ts';

/** Processes that have one of the function's device nodes open, or a BAR of it through sysfs. */
export const findNodeUse: HolderCheck = (fn, tables) => {
  if (fn.driver === undefined && !tables.isProcReadable) return undefined; // nothing made nodes
  // A guest that got it from this agent is no use by the host.
  const isGiven = fn.driver?.includes('vfio') === true && tables.isBoundByUs(fn.address);
  const nodes = isGiven ? [] : nodesOf(fn, tables);
  const open = tables.openNodes();
  if (open !== 'missing') {
    const holder = open.holders.get(fn.address);
    if (holder !== undefined) return seen(`its memory is open in ${holder}`);
    for (const { path, asked } of nodes) {
      const user = open.holders.get(asked ?? path) ?? open.holders.get(path);
      if (user !== undefined) return seen(`${path} is open in ${user}`);
    }
  }
  const [first] = nodes;
  if (!tables.foldersOf(fn).isComplete) {
    return unknown('its folder is too large to look for device nodes');
  }
  if (first === undefined || tables.isEvidenceOfTreeAlone) return undefined;
  const missing = open === 'missing' ? 'no process table' : open.missing;
  if (missing === null) return unasked(nodes, tables);
  return unknown(`whether ${first.path} is open is unknown: ${missing}`);
};

function unasked(nodes: readonly DeviceNode[], { asksAgent }: HostTables): HostUse | undefined {
  const node = asksAgent ? nodes.find(({ asked }) => asked === undefined) : undefined;
  return node && unknown(`whether ${node.path} is open is unknown: its number cannot be read`);
}

/** What {@link findNodeUse} looks for, in the words of the agent's `openNodes`. */
export function namesOfNodes(fn: PciFunction, tables: HostTables): string[] {
  return [fn.address, ...nodesOf(fn, tables).flatMap(({ asked }) => asked ?? [])];
}

/** Nodes by which a program can have a function that is on vfio-pci: its group's, and its own on newer kernels. */
export function vfioNodesOf(fn: PciFunction, tables: HostTables): DeviceNode[] {
  return fn.driver?.includes('vfio') === true ? nodesOf(fn, tables) : [];
}

function nodesOf(fn: PciFunction, tables: HostTables): DeviceNode[] {
  const { folders } = tables.foldersOf(fn);
  const shown = folders.flatMap((folder) => tables.nodeOf(folder) ?? []);
  const extra = extraNodes(fn, tables).map((path) => ({ path, asked: path }));
  return [...shown, ...tables.nodesElsewhereOf(fn), ...extra];
}

/** Nodes that the tree does not show below the function. */
function extraNodes(fn: PciFunction, tables: HostTables): string[] {
  const { driver, iommuGroup, address } = fn;
  if (driver?.includes('vfio') === true && iommuGroup !== undefined) {
    return [`/dev/vfio/${iommuGroup}`];
  }
  // A guest whose memory AMD's secure processor encrypts has this open for as long as it runs, and ends without that one.
  if (driver === 'ccp') return ['/dev/sev'];
  if (driver !== 'nvidia') return [];
  const text = tables.reader.text(`${tables.proc}/driver/nvidia/gpus/${address}/information`);
  const minor = /^Device Minor:\s*(\d{1,5})$/mu.exec(text ?? '')?.[1];
  return minor === undefined ? [] : [`/dev/nvidia${minor}`];
}

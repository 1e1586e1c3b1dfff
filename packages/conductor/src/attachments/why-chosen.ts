/** Why these accelerators were chosen and no others, in the words of an operator. */
import type { AttachContext } from './attach-context.ts';
import type { Picked } from './pick.ts';
import type { Wishes } from './wishes.ts';

export interface Chosen {
  readonly context: AttachContext;
  readonly wishes: Wishes;
  readonly picks: readonly Picked[];
}

/** A phrase without a full stop. */
export function whyChosen({ row }: Picked, { context, wishes, picks }: Chosen): string {
  const isNamed = wishes.wishes.some(({ acceleratorId }) => acceleratorId === row.id);
  const group = picks.filter((one) => isOfGroup(one, row.iommu_group));
  const reasons = [
    isNamed ? 'asked for' : `free, for ${wishes.asked}`,
    whyNode(row.numa_node, context.instance.numa_nodes),
    wishes.isSameRoot && `under PCIe root ${row.pcie_root} like the others`,
    group.length > 1 && `all of IOMMU group ${row.iommu_group}`,
  ];
  return reasons.filter((reason) => typeof reason === 'string').join('; ');
}

function isOfGroup({ row }: Picked, group: number | null): boolean {
  return group !== null && row.iommu_group === group;
}

function whyNode(node: number | null, nodes: readonly number[]): string | undefined {
  if (nodes.length === 0 || node === null) return undefined;
  return nodes.includes(node)
    ? `on NUMA node ${node}, where the instance is`
    : `on NUMA node ${node}: nothing nearer to the instance (node ${nodes.join(' and ')}) could be given`;
}

/** Placement takes no longer name. */
const nameCharsMax = 200;

/**
 * The name of a deployable that Nova can bind, as upstream's drivers have it: `compute-1_0000:3b:00.0`. Its resource
 * provider has the name, and uuid3 of it for an id: what this makes of a name never changes.
 *
 * @param nodeName  of the host, as its hypervisor calls it.
 * @param part  a PCI address, or what else is unique on the host.
 */
export function deployableName(nodeName: string, part: string): string {
  return `${nodeName}_${part}`.replaceAll(/[^A-Za-z0-9_.:-]/g, '_').slice(0, nameCharsMax);
}

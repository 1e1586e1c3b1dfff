/** Ports of a domain's machine that take a device while it runs. */
import { parseCpuList } from '../numa.ts';
import { child, listOf, textOf, valuesOf } from './xml.ts';

export interface FreePort {
  readonly bus: number;
  /** The host's NUMA nodes of the guest's cell that the port belongs to; none where that is not said. */
  readonly hostNodes: ReadonlySet<number>;
}

const portModels: ReadonlySet<string> = new Set(['pcie-root-port', 'pcie-switch-downstream-port']);

export function freePortsIn(domain: unknown): readonly FreePort[] {
  const devices = child(domain, 'devices');
  const controllers = listOf(devices, 'controller').filter(
    (controller) => textOf(child(controller, '@type')) === 'pci',
  );
  const used = new Set(valuesOf(devices).flatMap((some) => [some].flat().map(busOf)));
  const nodesOf = expandersOf(controllers, domain);
  return controllers.flatMap((controller) => {
    const bus = indexOf(controller);
    if (bus === undefined || used.has(bus) || !isHotplugPort(controller)) return [];
    return [{ bus, hostNodes: nodesOf.get(busOf(controller) ?? -1) ?? new Set<number>() }];
  });
}

/** Free in both: in the machine that runs and in what the next start makes of it. */
export function choosePort(
  live: readonly FreePort[],
  config: readonly FreePort[],
  near: number | undefined,
): number | null {
  const both = live.filter(({ bus }) => config.some((other) => other.bus === bus));
  const best = both.find(({ hostNodes }) => near !== undefined && hostNodes.has(near)) ?? both[0];
  return best?.bus ?? null;
}

function isHotplugPort(controller: unknown): boolean {
  if (!portModels.has(textOf(child(controller, '@model')) ?? '')) return false;
  return textOf(child(child(controller, 'target'), '@hotplug')) !== 'off';
}

/** Host nodes by the index of the expander bus that stands for a cell of the guest. */
function expandersOf(
  controllers: readonly unknown[],
  domain: unknown,
): ReadonlyMap<number, ReadonlySet<number>> {
  const cells = new Map(
    listOf(child(domain, 'numatune'), 'memnode').map((memory) => [
      textOf(child(memory, '@cellid')) ?? '',
      parseCpuList(textOf(child(memory, '@nodeset')) ?? ''),
    ]),
  );
  const nodes = new Map<number, ReadonlySet<number>>();
  for (const controller of controllers) {
    const index = indexOf(controller);
    const cell = textOf(child(child(controller, 'target'), 'node'));
    const hostNodes = cell === undefined ? undefined : cells.get(cell);
    if (index !== undefined && hostNodes !== undefined) nodes.set(index, hostNodes);
  }
  return nodes;
}

function indexOf(controller: unknown): number | undefined {
  const index = Number.parseInt(textOf(child(controller, '@index')) ?? '', 10);
  return Number.isNaN(index) ? undefined : index;
}

function busOf(device: unknown): number | undefined {
  const address = child(device, 'address');
  if (textOf(child(address, '@type')) !== 'pci') return undefined;
  const bus = Number.parseInt(textOf(child(address, '@bus')) ?? '', 16);
  return Number.isNaN(bus) ? undefined : bus;
}

/** Notes of functions that an agent before this one bound, whose own notes are lost: the ledger says that they are taken. */
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { ActDone } from '../act-order.ts';
import type { Binding } from '../bindings.ts';
import { idsOf, type HostView } from './host-view.ts';
import { RefusedAct } from './refused-act.ts';

const vfioDriver = 'vfio-pci';

/** Only looks. What is not as an agent leaves it stays a stranger's, also if the ledger says that it is taken. */
export function adopt(host: HostView): Promise<ActDone> {
  const { taken } = host.order;
  const notes = new Map<string, Binding>();
  for (const { address, accelerator_key: adopted, backend_id: backend } of taken) {
    const fn = host.find(address);
    if (fn === undefined || !isAsLeft(host, fn)) continue;
    notes.set(address, noteOf(fn, { backend, adopted, heldFor: [address] }));
  }
  for (const { address, backend_id: backend } of taken) {
    const fn = host.find(address);
    if (fn === undefined || !notes.has(address)) continue;
    for (const other of neighboursOf(host, fn)) {
      if (!isAsLeft(host, other)) continue;
      const known =
        notes.get(other.address) ?? noteOf(other, { backend, adopted: null, heldFor: [] });
      notes.set(other.address, { ...known, heldFor: [...known.heldFor, address] });
    }
  }
  return Promise.resolve({ result: {}, changed: [...notes.values()] });
}

function noteOf(
  fn: PciFunction,
  of: Pick<Binding, 'backend' | 'heldFor'> & { readonly adopted: string | null },
): Binding {
  const unknown = { driver: null, override: null };
  return { address: fn.address, ids: idsOf(fn), ...unknown, boundTo: vfioDriver, ...of };
}

/** Bound by driver_override, and not noted by anybody. */
function isAsLeft(host: HostView, fn: PciFunction): boolean {
  if (host.bindingOf(fn) !== undefined) return false;
  return host.driverNow(fn) === vfioDriver && host.overrideNow(fn) === vfioDriver;
}

/** Whoever gets a function of an IOMMU group has the whole group bound. */
function neighboursOf(host: HostView, fn: PciFunction): PciFunction[] {
  try {
    return host.groupOthers(fn);
  } catch (error) {
    if (error instanceof RefusedAct) return [];
    throw error;
  }
}

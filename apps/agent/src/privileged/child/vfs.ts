/** How many virtual functions there are, without disturbing one that is in use. */
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { ActDone } from '../act-order.ts';
import type { HostView } from './host-view.ts';
import { RefusedAct } from './refused-act.ts';
import { writeAttribute } from './sysfs-write.ts';

export async function setVfCount(host: HostView): Promise<ActDone> {
  const { target } = host;
  const { address } = target;
  const count = Number(host.order.params['count']);
  const total = target.integer('sriov_totalvfs');
  if (total === undefined) {
    throw new RefusedAct('unsupported', `${address} has no virtual functions (no sriov_totalvfs).`);
  }
  if (!(count >= 0 && count <= total)) {
    throw new RefusedAct('invalid', `count is ${count}; ${address} can have 0 to ${total}.`);
  }
  if (target.integer('sriov_numvfs') === count) return { result: {} };
  requireNotGiven(host, target);
  for (const { index, address: virtual } of target.virtualFunctions) {
    requireFree(host, { index, virtual });
  }
  const virtual = target.virtualFunctions.flatMap((one) => host.find(one.address) ?? []);
  await host.refuseHostUse(virtual);
  change(host, target, count);
  return { result: {} };
}

/** A physical function that a guest has whole. What the host itself does with it may go on. */
function requireNotGiven(host: HostView, fn: PciFunction): void {
  if (fn.driver?.includes('vfio') !== true && (host.bindingOf(fn)?.heldFor ?? []).length === 0)
    return;
  throw new RefusedAct(
    'host-use',
    `${fn.address} is given whole: it is on ${fn.driver ?? 'no driver'}.`,
  );
}

function requireFree(host: HostView, { index, virtual }: { index: number; virtual: string }): void {
  const fn = host.find(virtual);
  const use =
    fn === undefined
      ? 'is not in the tree'
      : fn.driver === undefined
        ? (host.bindingOf(fn)?.heldFor ?? []).length > 0 && 'is given'
        : `is bound to ${fn.driver}`;
  if (use === false) return;
  throw new RefusedAct('host-use', `Virtual function ${index} (${virtual}) ${use}.`);
}

/** The kernel changes the number only by way of 0. New ones get no driver: they are for guests. */
function change(host: HostView, { path }: PciFunction, count: number): void {
  const file = `${path}/sriov_numvfs`;
  if (host.reader.integer(file) !== 0) writeAttribute(file, '0');
  if (count === 0) return;
  const autoprobe = `${path}/sriov_drivers_autoprobe`;
  const before = host.reader.text(autoprobe);
  if (before === '1') writeAttribute(autoprobe, '0');
  try {
    writeAttribute(file, String(count));
  } finally {
    if (before === '1') writeAttribute(autoprobe, before);
  }
}

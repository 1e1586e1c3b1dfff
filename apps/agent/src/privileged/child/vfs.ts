/** How many virtual functions there are, without disturbing one that is in use. */
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { ActDone } from '../act-order.ts';
import { idsOf, type HostView } from './host-view.ts';
import { RefusedAct } from './refused-act.ts';
import { codeOf, writeAttribute } from './sysfs-write.ts';

type Write = typeof writeAttribute;

/** @param write  how the kernel is asked; a plain file has none of its refusals */
export async function setVfCount(host: HostView, write: Write = writeAttribute): Promise<ActDone> {
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
  const current = target.integer('sriov_numvfs');
  if (current === count) return { result: {} };
  const last = host.vfsOf(target);
  if (current !== undefined && current > 0 && last?.count === count && last.made === current) {
    throw tooFew(address, { made: current, count }); // asked again it would make them all anew, and no more
  }
  requireNotGiven(host, target);
  for (const { index, address: virtual } of target.virtualFunctions) {
    requireFree(host, { index, virtual });
  }
  const virtual = target.virtualFunctions.flatMap((one) => host.find(one.address) ?? []);
  await host.refuseHostUse(virtual, { isGiven: false });
  const vfs = { address, ids: idsOf(target), count };
  const done = await change(host, target, { count, write });
  const made = host.reader.integer(`${target.path}/sriov_numvfs`) ?? 0;
  if (made < count) throw tooFew(address, { made, count }).with({ vfs: { ...vfs, made } });
  return { ...done, vfs };
}

/** (bnxt_en makes as many as it has room for, and says so in the kernel's log alone.) */
function tooFew(address: string, { made, count }: { made: number; count: number }): RefusedAct {
  const text = `${address} has ${made} virtual functions: its kernel driver makes no more of ${count}; see dmesg.`;
  return new RefusedAct('transient', text);
}

/** Where virtual functions were made without drivers and there are none any more: asked by the agent itself. */
export function probeAgain(host: HostView): Promise<ActDone> {
  const address = String(host.order.params['address']);
  const fn = host.find(address);
  const isMine = fn !== undefined && host.isUnprobed(fn);
  if (isMine && (fn.integer('sriov_numvfs') ?? 0) > 0) return Promise.resolve({ result: {} });
  if (isMine) switchProbing(host, fn, '1');
  return Promise.resolve({ result: {}, probed: address });
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

/** The kernel changes the number only by way of 0. */
async function change(
  host: HostView,
  fn: PciFunction,
  { count, write }: { readonly count: number; readonly write: Write },
): Promise<ActDone> {
  const file = `${fn.path}/sriov_numvfs`;
  const set = (text: string): void => {
    try {
      write(file, text);
    } catch (error) {
      const why = whyNot(fn, error);
      const message = `${fn.address} does not get ${count} virtual functions: ${why}; see dmesg.`;
      throw new RefusedAct('transient', message, { cause: error });
    }
  };
  if (host.reader.integer(file) !== 0) set('0');
  if (count > 0) return await makeWithoutDrivers(host, fn, () => set(String(count)));
  return host.isUnprobed(fn) ? probing(host, fn) : { result: {} };
}

/** What is behind the kernel's word (drivers/pci/iov.c, drivers/pci/pci-sysfs.c). */
function whyNot({ driver }: PciFunction, error: unknown): string {
  const says = error instanceof Error ? error.message : String(error);
  const code = codeOf(error);
  if (code === 'ENOMEM') {
    return `the firmware left no addresses or bus numbers for them, so switch SR-IOV and decoding above 4 GB on there, or start the kernel with pci=realloc (${says})`;
  }
  if (code !== 'ENOENT') return says;
  return driver === undefined
    ? `it has no kernel driver, and that makes them (${says})`
    : `its kernel driver ${driver} makes none (${says})`;
}

/**
 * They are for guests, and as long as there are some no driver may come for them: udev loads the one of virtual functions
 * when it hears of them, and that would take them all.
 */
async function makeWithoutDrivers(
  host: HostView,
  fn: PciFunction,
  make: () => void,
): Promise<ActDone> {
  const isOn = host.reader.text(autoprobeOf(fn)) === '1';
  if (isOn) await host.ask({ unprobed: { address: fn.address, ids: idsOf(fn) } });
  switchProbing(host, fn, '0');
  try {
    make();
  } catch (error) {
    const { probed } = isOn || host.isUnprobed(fn) ? probing(host, fn) : {};
    const message = error instanceof Error ? error.message : String(error);
    const changes = probed === undefined ? {} : { probed };
    throw new RefusedAct('transient', message, { changes, cause: error });
  }
  return { result: {} };
}

function probing(host: HostView, fn: PciFunction): ActDone {
  switchProbing(host, fn, '1');
  return { result: {}, probed: fn.address };
}

function switchProbing(host: HostView, fn: PciFunction, text: '0' | '1'): void {
  const file = autoprobeOf(fn);
  const now = host.reader.text(file);
  if (now !== undefined && now !== text) writeAttribute(file, text);
}

function autoprobeOf({ path }: PciFunction): string {
  return `${path}/sriov_drivers_autoprobe`;
}

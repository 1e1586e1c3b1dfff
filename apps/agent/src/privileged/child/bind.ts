/** Binding by driver_override, and putting back what was there. */
import { findDenial } from '@cyborg/driver-sdk/host-use/denylist';
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { ActDone } from '../act-order.ts';
import type { Binding } from '../bindings.ts';
import { DiskClaims } from './disk-claims.ts';
import { idsOf, type HostView } from './host-view.ts';
import { RefusedAct } from './refused-act.ts';
import { keyByNumber, serialOf } from './serial.ts';
import { waitUntil, writeAttribute } from './sysfs-write.ts';

/** Shorter than the time of the whole act, so that what went wrong can be undone and told. */
const probeMsMax = 10_000;

export async function bind(host: HostView): Promise<ActDone> {
  const { params } = host.order;
  const wanted = String(params['kernel_driver']);
  checkName(wanted);
  await requireDriver(host, wanted);
  const { target } = host;
  const others = host.groupOthers(target);
  for (const other of others) requireAccountedFor(host, other, wanted);
  const all = [target, ...others];
  for (const fn of all) requireTakeable(host, fn, wanted);
  if (wanted === 'vfio-pci') for (const fn of all) requireNotDenied(host, fn);
  const bridges = host.groupBridges(target).filter((fn) => isInTheWay(host, fn));
  for (const bridge of bridges) requireFreed(host, bridge);
  await host.refuseHostUse([...all, ...bridges]);
  await refuseOtherGuests(host, all);
  using disks = new DiskClaims(host);
  for (const fn of all) disks.take(fn);
  const notes = [
    ...bridges.map((fn) => noteOf(host, fn, null)),
    ...all.map((fn) => noteOf(host, fn, wanted)),
  ];
  host.enter('note');
  await host.ask({ keep: notes });
  await bindAll(host, all, { wanted, notes, bridges, disks });
  return { result: {} };
}

/** Takes the kernel driver away and leaves none. */
export async function unbind(host: HostView): Promise<ActDone> {
  const { target } = host;
  const driver = host.driverNow(target);
  if (driver === null) return { result: {} };
  requireNoMediated(host, target);
  await host.refuseHostUse([target]);
  using disks = new DiskClaims(host);
  disks.take(target);
  const note = noteOf(host, target, null);
  host.enter('note');
  await host.ask({ keep: [note] });
  host.enter('unbind');
  writeAttribute(`${target.path}/driver/unbind`, target.address);
  return { result: {} };
}

interface BindWish {
  readonly wanted: string;
  readonly notes: readonly Binding[];
  /** Whose drivers would keep the group from guests. */
  readonly bridges: readonly PciFunction[];
  readonly disks: DiskClaims;
}

async function bindAll(
  host: HostView,
  functions: readonly PciFunction[],
  { wanted, notes, bridges, disks }: BindWish,
): Promise<void> {
  try {
    for (const bridge of bridges) takeDriver(host, bridge);
    for (const fn of functions) await bindOne(host, fn, { wanted, disks });
  } catch (error) {
    const fresh = notes.filter(({ address }) => {
      const fn = host.find(address);
      return fn !== undefined && host.bindingOf(fn) === undefined;
    });
    const settled: string[] = [];
    for (const note of fresh) {
      const fn = host.find(note.address);
      if (fn !== undefined && (await isPutBack(host, fn, note))) settled.push(note.address);
    }
    const message = error instanceof Error ? error.message : String(error);
    throw new RefusedAct('transient', message, { changes: { settled }, cause: error });
  }
}

async function isPutBack(host: HostView, fn: PciFunction, note: Binding): Promise<boolean> {
  try {
    await putBack(host, fn, note);
    return true;
  } catch {
    return false; // the note stays: `restore` tries again
  }
}

function takeDriver(host: HostView, { path, address }: PciFunction): void {
  if (!host.reader.exists(`${path}/driver`)) return;
  host.enter('unbind');
  writeAttribute(`${path}/driver/unbind`, address);
}

async function bindOne(
  host: HostView,
  fn: PciFunction,
  { wanted, disks }: Pick<BindWish, 'wanted' | 'disks'>,
): Promise<void> {
  const { address, path } = fn;
  host.enter('override');
  if (host.overrideNow(fn) !== wanted) writeAttribute(`${path}/driver_override`, wanted);
  const current = host.driverNow(fn);
  if (current === wanted) return;
  if (current !== null) {
    host.enter('unbind');
    writeAttribute(`${path}/driver/unbind`, address);
    disks.release(fn);
  }
  host.enter('probe');
  writeAttribute(`${host.sysfs}/bus/pci/drivers_probe`, address);
  if (await waitUntil(() => host.driverNow(fn) === wanted, probeMsMax)) return;
  throw new Error(`${address} did not bind to ${wanted} within ${probeMsMax} ms; see dmesg.`);
}

export async function restore(host: HostView): Promise<ActDone> {
  const address = String(host.order.params['address']);
  const target = host.find(address);
  if (target === undefined) return { result: {}, settled: [address] }; // its card is gone
  const mine = host.bindingOf(target);
  if (mine === undefined) return await restoreWithoutNote(host, target);
  refuseUnclean(host, target, mine);
  // A bridge's driver comes back last: it would keep the group from those that are still to be given back.
  const group =
    target.iommuGroup === undefined
      ? []
      : [...host.groupOthers(target), ...host.groupBridges(target)];
  const changed: Binding[] = [];
  const free: { fn: PciFunction; note: Binding }[] = [];
  for (const fn of [target, ...group]) {
    const note = host.bindingOf(fn);
    if (note === undefined) continue;
    const heldFor = note.heldFor.filter(
      (other) => other !== address && host.find(other) !== undefined,
    );
    if (heldFor.length === 0) free.push({ fn, note });
    else changed.push({ ...note, heldFor });
  }
  await refuseOpen(
    host,
    free.map(({ fn }) => fn),
  );
  for (const { fn, note } of free) await putBack(host, fn, note);
  const kept = changed.find((note) => note.address === target.address)?.heldFor;
  const result = kept === undefined ? {} : { kept_for: kept };
  return { result, changed, settled: free.map(({ fn }) => fn.address) };
}

/** The note is lost: the override is cleared and the kernel chooses, as after a start of the host. */
async function restoreWithoutNote(host: HostView, fn: PciFunction): Promise<ActDone> {
  const settled = [fn.address];
  const driver = host.driverNow(fn);
  const isByOverride = driver !== null && host.overrideNow(fn) === driver;
  // A function that somebody else bound is theirs, unless an order about it is being carried out.
  if (!isByOverride || !driver.includes('vfio') || !host.order.isOrdered) {
    return { result: {}, settled };
  }
  await refuseOpen(host, [fn]);
  host.enter('override');
  writeAttribute(`${fn.path}/driver_override`, '\n');
  host.enter('unbind');
  writeAttribute(`${fn.path}/driver/unbind`, fn.address);
  host.enter('probe');
  writeAttribute(`${host.sysfs}/bus/pci/drivers_probe`, fn.address);
  return { result: {}, settled };
}

/**
 * What was bound to be given comes back by an order to clean it: no driver of the host is to meet what a guest left, and
 * what a stopped guest has is its own.
 */
function refuseUnclean(host: HostView, fn: PciFunction, { boundTo, heldFor }: Binding): void {
  const isGiven = heldFor.includes(fn.address) && host.driverNow(fn) === boundTo;
  if (host.order.isOrdered || boundTo === null || !isGiven) return;
  throw new RefusedAct(
    'unsupported',
    `${fn.address} stays on ${boundTo}: it was bound for a guest, and has not been cleaned since.`,
  );
}

async function refuseOpen(host: HostView, functions: readonly PciFunction[]): Promise<void> {
  const holder = await host.findVfioHolder(functions);
  if (holder === undefined) return;
  const names = functions.map(({ address }) => address).join(', ');
  throw new RefusedAct('transient', `${names} cannot be given back to the host: ${holder}.`);
}

async function putBack(host: HostView, fn: PciFunction, note: Binding): Promise<void> {
  const { address, path } = fn;
  host.enter('override');
  if (host.overrideNow(fn) !== note.override) {
    writeAttribute(`${path}/driver_override`, note.override ?? '\n');
  }
  const current = host.driverNow(fn);
  if (current === note.driver) return;
  if (current !== null && current === note.boundTo) {
    host.enter('unbind');
    writeAttribute(`${path}/driver/unbind`, address);
  }
  // Whatever was there before an agent of which nothing is left, the kernel chooses as after a start of the host.
  const isAdopted = note.adopted !== undefined;
  if (note.driver === null && !isAdopted) return;
  host.enter('probe');
  writeAttribute(`${host.sysfs}/bus/pci/drivers_probe`, address);
  if (isAdopted) return;
  const isBack = (): boolean => host.driverNow(fn) === note.driver;
  if (await waitUntil(isBack, probeMsMax)) return;
  throw new RefusedAct(
    'transient',
    `${address} did not go back to ${note.driver} within ${probeMsMax} ms: it has ${host.driverNow(fn) ?? 'no driver'}; see dmesg.`,
  );
}

function noteOf(host: HostView, fn: PciFunction, boundTo: string | null): Binding {
  const { target } = host;
  const before = host.bindingOf(fn);
  const heldFor = [...new Set([...(before?.heldFor ?? []), target.address])];
  // After a crash between override and probe, or a start of the host, what is there now counts unless it is our doing.
  const isOurDoing =
    before !== undefined &&
    (before.boundTo === null
      ? host.driverNow(fn) === null
      : host.isOurs(fn) || host.overrideNow(fn) === before.boundTo);
  if (isOurDoing) return { ...before, heldFor, boundTo };
  const serial = serialOf(host, fn);
  const keys = [...(host.order.accelerators ?? []), before?.accelerator, before?.adopted];
  const accelerator = keyByNumber(host, fn, keys);
  return {
    address: fn.address,
    backend: host.order.backend.id,
    ids: idsOf(fn),
    ...(serial !== undefined && { serial }),
    ...(accelerator !== undefined && { accelerator }),
    driver: host.driverNow(fn),
    override: host.overrideNow(fn),
    boundTo,
    heldFor: [target.address],
  };
}

/** A guest that has the group already, and has it by another order than those about this group. */
async function refuseOtherGuests(host: HostView, all: readonly PciFunction[]): Promise<void> {
  const isKnown = all.some((fn) => (host.bindingOf(fn)?.heldFor.length ?? 0) > 0);
  if (isKnown) return;
  const holder = await host.findVfioHolder(all);
  if (holder === undefined) return;
  throw new RefusedAct('host-use', `The host uses ${host.target.address}: ${holder}.`);
}

function requireAccountedFor(host: HostView, fn: PciFunction, wanted: string): void {
  const { target, order } = host;
  if (order.inventory.includes(fn.address)) return;
  const driver = fn.driver ?? 'no driver';
  if (driver === wanted && host.isOurs(fn)) return;
  const why = fn.isChipset
    ? "a part of the host's chipset that no guest gets: give neither, or unbind it if the host can do without"
    : `which is not in the inventory of ${order.backend.name}: list it there by a rule, or give neither`;
  throw new RefusedAct(
    'host-use',
    `${target.address} shares IOMMU group ${target.iommuGroup} with ${fn.address} (${driver}), ${why}.`,
  );
}

function requireTakeable(host: HostView, fn: PciFunction, wanted: string): void {
  const enabled = fn.integer('sriov_numvfs') ?? 0;
  if (enabled > 0) {
    throw new RefusedAct('host-use', `${fn.address} is divided into ${enabled} virtual functions.`);
  }
  requireNoMediated(host, fn);
  const { driver, address } = fn;
  if (driver === undefined || (driver === wanted && host.isOurs(fn))) return;
  if (host.mayUnbind(address)) return;
  throw new RefusedAct('host-use', `${address} is bound to ${driver}; set unbind: idle.`);
}

/** They would go with its driver, and guests may have them. */
function requireNoMediated(host: HostView, fn: PciFunction): void {
  const mediated = host.mediatedOf(fn);
  if (mediated.length === 0) return;
  throw new RefusedAct(
    'host-use',
    `${fn.address} has mediated devices: ${mediated.join(', ')}. Remove them, or give those.`,
  );
}

/** Its driver is there, or the agent took it away for the group. */
function isInTheWay(host: HostView, bridge: PciFunction): boolean {
  return bridge.keepsGroup || host.bindingOf(bridge) !== undefined;
}

function requireFreed(host: HostView, { address, driver }: PciFunction): void {
  const { target } = host;
  if (driver === undefined || host.mayUnbind(target.address)) return;
  throw new RefusedAct(
    'host-use',
    `${target.address} shares IOMMU group ${target.iommuGroup} with the bridge ${address} (${driver}), whose driver keeps the group from guests; set unbind: idle.`,
  );
}

function requireNotDenied(host: HostView, fn: PciFunction): void {
  if (fn.driver === 'vfio-pci') return;
  const denial = findDenial(fn, host.reader, host.sysfs);
  if (denial !== undefined) throw new RefusedAct('unsupported', `${denial}.`);
}

async function requireDriver(host: HostView, name: string): Promise<void> {
  const isThere = (): boolean => host.reader.exists(`${host.sysfs}/bus/pci/drivers/${name}`);
  if (isThere()) return;
  await host.ask({ load: name });
  if (isThere()) return;
  throw new RefusedAct(
    'transient',
    `The kernel has no driver ${name} loaded: modprobe ${name}, and name it in /etc/modules-load.d, or let the agent load it (--load-module ${name}).`,
  );
}

function checkName(name: string): void {
  if (/^[A-Za-z0-9_-]{1,64}$/u.test(name)) return;
  throw new RefusedAct('invalid', `${JSON.stringify(name)} is no name.`);
}

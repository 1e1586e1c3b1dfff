/** Resets by the methods that touch nothing else; what the kernel refuses is told, not forced. */
import { dirname } from 'node:path';
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { ActDone } from '../act-order.ts';
import type { HostView } from './host-view.ts';
import { RefusedAct } from './refused-act.ts';
import { codeOf, writeAttribute } from './sysfs-write.ts';

const busMethods = new Set(['bus', 'cxl_bus']);

export async function reset(host: HostView): Promise<ActDone> {
  const { target } = host;
  const scope = host.order.params['scope'] ?? 'function';
  const affected = scope === 'bus' ? host.behindSameBridge(target) : [target];
  const endpoints = affected.filter(({ isBridge }) => !isBridge);
  if (scope === 'bus') requireAllOurs(host, endpoints);
  requireWhole(host, target);
  await host.refuseHostUse(endpoints, { ours: [target.address] });
  requireNoHostDriver(target);
  const holder = await host.findVfioHolder(endpoints);
  if (holder !== undefined) {
    throw new RefusedAct('transient', `${target.address} is not reset: ${holder}.`);
  }
  host.enter('reset');
  const method = scope === 'bus' ? resetBus(host, endpoints) : resetFunction(host);
  return { result: method === undefined ? {} : { method } };
}

function resetFunction(host: HostView): string | undefined {
  const { target } = host;
  const { address, path } = target;
  const text = host.reader.text(`${path}/reset_method`);
  if (text === undefined || text === '') {
    // Kernels before 5.15 do not say which methods there are; they too reset no bus that has others on it.
    if (text === undefined && target.has('reset')) return perform(target, 'reset');
    throw noReset(address, 'it has none');
  }
  const has = text.split(/\s+/u);
  const isAlone = host.behindSameBridge(target).length === 1;
  const own = has.filter((method) => isAlone || !busMethods.has(method));
  const { methods: wanted } = host.order.params;
  const usable = Array.isArray(wanted)
    ? wanted.map(String).filter((method) => own.includes(method))
    : own;
  if (usable.length === 0) throw noReset(address, whyNone(has, { isAlone, wanted }));
  return withMethods(target, { has, usable });
}

/** The kernel tries one method after another: those that may not be used are taken from its list meanwhile. */
function withMethods(
  fn: PciFunction,
  { has, usable }: { has: readonly string[]; usable: readonly string[] },
): string {
  const file = `${fn.path}/reset_method`;
  const [first = 'reset'] = usable;
  const isChanged = usable.join(' ') !== has.join(' ');
  if (isChanged) writeAttribute(file, usable.join(' '));
  try {
    perform(fn, 'reset');
    return first;
  } finally {
    if (isChanged) writeAttribute(file, has.join(' '));
  }
}

/** By the bridge's own attribute, which the newest kernels have; older ones reset no bus with several functions. */
function resetBus(host: HostView, endpoints: readonly PciFunction[]): string {
  const { target } = host;
  const bridge = dirname(target.path);
  if (host.reader.exists(`${bridge}/reset_subordinate`)) {
    writeAttribute(`${bridge}/reset_subordinate`, '1');
    return 'bus';
  }
  if (endpoints.length === 1) {
    return withMethods(target, { has: methodsOf(host, target), usable: ['bus'] });
  }
  throw noReset(target.address, 'this kernel resets no bus that has several functions behind it');
}

function methodsOf(host: HostView, { path, address }: PciFunction): string[] {
  const has = (host.reader.text(`${path}/reset_method`) ?? '').split(/\s+/u);
  if (has.includes('bus')) return has;
  throw noReset(address, `its methods are ${has.join(', ') || 'none'}`);
}

/** A driver of the host does not survive that its function forgets everything. */
function requireNoHostDriver({ address, driver }: PciFunction): void {
  if (driver === undefined || driver.includes('vfio')) return;
  throw new RefusedAct(
    'host-use',
    `${address} is not reset under ${driver}: bind it to vfio-pci first.`,
  );
}

/** A reset of a function takes with it what it is divided into, and that may be guests'. */
function requireWhole(host: HostView, fn: PciFunction): void {
  const mediated = host.mediatedOf(fn);
  if (mediated.length > 0) {
    throw new RefusedAct(
      'host-use',
      `${fn.address} is not reset: its mediated devices would be reset with it: ${mediated.join(', ')}.`,
    );
  }
  const enabled = Math.max(fn.integer('sriov_numvfs') ?? 0, fn.virtualFunctions.length);
  if (enabled === 0) return;
  throw new RefusedAct(
    'host-use',
    `${fn.address} is not reset: its ${enabled} virtual functions would be reset with it; disable them first.`,
  );
}

function requireAllOurs(host: HostView, endpoints: readonly PciFunction[]): void {
  const { target } = host;
  const others = endpoints.filter((fn) => !isForTarget(host, fn));
  if (others.length === 0) return;
  const names = others.map((fn) => `${fn.address} (${fn.driver ?? 'no driver'})`).join(', ');
  throw new RefusedAct(
    'host-use',
    `A bus reset of ${target.address} would reset what was not bound for it alone: ${names}.`,
  );
}

function isForTarget(host: HostView, fn: PciFunction): boolean {
  const heldFor = host.isOurs(fn) ? (host.bindingOf(fn)?.heldFor ?? []) : [];
  return heldFor.length > 0 && heldFor.every((address) => address === host.target.address);
}

function perform({ path, address }: PciFunction, name: string): undefined {
  try {
    writeAttribute(`${path}/${name}`, '1');
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOTTY') throw noReset(address, 'the kernel has no method left for it (ENOTTY)');
    if (code === 'EBUSY' || code === 'EAGAIN') {
      const message = `${address} was not reset: the kernel says that it is busy (${code}).`;
      throw new RefusedAct('transient', message, { cause: error });
    }
    const message = `${address} was not reset: ${error instanceof Error ? error.message : String(error)}`;
    throw new RefusedAct('transient', message, { cause: error });
  }
}

function whyNone(
  has: readonly string[],
  { isAlone, wanted }: { isAlone: boolean; wanted: unknown },
): string {
  const list = `its methods are ${has.join(', ')}`;
  const bus = isAlone ? '' : ', and a bus reset would reset others';
  const definition = Array.isArray(wanted) ? `; its definition allows ${wanted.join(', ')}` : '';
  return `${list}${bus}${definition}`;
}

function noReset(address: string, why: string): RefusedAct {
  return new RefusedAct('unsupported', `${address} cannot be reset by itself: ${why}.`);
}

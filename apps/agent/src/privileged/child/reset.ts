/** Resets by the methods that touch nothing else; what the kernel refuses is told, not forced. */
import { basename, dirname } from 'node:path';
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { ActDone } from '../act-order.ts';
import { idsOf, type HostView } from './host-view.ts';
import { RefusedAct } from './refused-act.ts';
import { codeOf, writeAttribute } from './sysfs-write.ts';

const busMethods = new Set(['bus', 'cxl_bus']);
/** Of those that keep a bus from being reset, so many are named. */
const namedMax = 8;

type Write = typeof writeAttribute;

/** @param write  how the kernel is asked; a plain file has none of its refusals */
export async function reset(host: HostView, write: Write = writeAttribute): Promise<ActDone> {
  const { target } = host;
  const scope = host.order.params['scope'] ?? 'function';
  const endpoints = scope === 'bus' ? endpointsBeside(host) : [target];
  if (scope === 'bus') requireNobodyElses(host, endpoints);
  for (const fn of endpoints) requireWhole(host, fn);
  await host.refuseHostUse(endpoints, { ours: [target.address] });
  requireNoHostDriver(target);
  const holder = await host.findVfioHolder(endpoints);
  if (holder !== undefined) {
    throw new RefusedAct('transient', `${target.address} is not reset: ${holder}.`);
  }
  host.enter('reset');
  if (scope === 'bus') return await resetBus(host, endpoints, write);
  return await resetFunction(host, write);
}

/** All that is behind its bridge. */
function endpointsBeside(host: HostView): PciFunction[] {
  const { target } = host;
  if (host.find(basename(dirname(target.path))) === undefined) {
    throw noReset(target.address, 'it is behind no bridge whose bus could be reset');
  }
  return host.behindSameBridge(target).filter(({ isBridge }) => !isBridge);
}

async function resetFunction(host: HostView, write: Write): Promise<ActDone> {
  const { target } = host;
  const { address, path } = target;
  const text = host.reader.text(`${path}/reset_method`);
  if (text === undefined || text === '') {
    // Kernels before 5.15 do not say which methods there are; they too reset no bus that has others on it.
    if (text === undefined && target.has('reset')) {
      perform(target, 'reset', write);
      return { result: {} };
    }
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
  return await tryMethods(host, { has, usable, write });
}

interface Methods {
  readonly has: readonly string[];
  readonly usable: readonly string[];
  readonly write: Write;
}

/** One at a time, so that what is told is what was done: the kernel itself goes on to the next without a word. */
async function tryMethods(host: HostView, { has, usable, write }: Methods): Promise<ActDone> {
  const { target } = host;
  const [first = ''] = usable;
  if (has.length === 1) {
    perform(target, 'reset', write);
    return { result: { method: first } };
  }
  const { address } = target;
  const file = `${target.path}/reset_method`;
  const before = has.join(' ');
  // Whoever ends this process half-way leaves the kernel with a part of its methods.
  await host.ask({ shortened: { address, ids: idsOf(target), methods: before } });
  try {
    return { result: { method: tryEach(target, { file, usable, write }) }, lengthened: address };
  } catch (error) {
    if (error instanceof RefusedAct) throw error.with({ lengthened: address });
    throw error;
  } finally {
    lengthen(file, before, write);
  }
}

function tryEach(
  fn: PciFunction,
  { file, usable, write }: { file: string; usable: readonly string[]; write: Write },
): string {
  let last: unknown;
  for (const method of usable) {
    try {
      write(file, method);
      perform(fn, 'reset', write);
      return method;
    } catch (error) {
      const isOver = error instanceof RefusedAct ? error.code !== 'unsupported' : !isInvalid(error);
      if (isOver) throw error;
      last = error;
    }
  }
  throw last instanceof RefusedAct
    ? last
    : noReset(fn.address, `the kernel takes none of ${usable.join(', ')} now (EINVAL)`);
}

/** A method that does not answer any more cannot be written again: what the kernel finds itself takes its place. */
function lengthen(file: string, methods: string, write: Write): void {
  for (const text of [methods, 'default']) {
    try {
      write(file, text);
      return;
    } catch (error) {
      if (!isInvalid(error)) throw error;
    }
  }
}

const isInvalid = (error: unknown): boolean => codeOf(error) === 'EINVAL';

/** After a death in `tryMethods`: asked by the agent itself. */
export function lengthenAgain(host: HostView): Promise<ActDone> {
  const address = String(host.order.params['address']);
  const fn = host.find(address);
  const note = fn && host.shortenedOf(fn);
  if (fn !== undefined && note !== undefined) {
    lengthen(`${fn.path}/reset_method`, note.methods, writeAttribute);
  }
  return Promise.resolve({ result: {}, lengthened: address });
}

/**
 * By the bridge's own attribute, which Linux has since 6.13 and December 2024. Without it the kernel resets the bus, or the slot, of a
 * function that is alone there, and no other.
 */
async function resetBus(
  host: HostView,
  endpoints: readonly PciFunction[],
  write: Write,
): Promise<ActDone> {
  const { target } = host;
  const { address } = target;
  const path = dirname(target.path);
  if (host.reader.exists(`${path}/reset_subordinate`)) {
    perform({ path, address }, 'reset_subordinate', write);
    return { result: { method: 'bus' } };
  }
  if (endpoints.length === 1) {
    return await tryMethods(host, { has: methodsOf(host, target), usable: ['bus'], write });
  }
  throw noReset(
    address,
    `this kernel resets no bus or slot with several functions (the bridge ${basename(path)} has no reset_subordinate)`,
  );
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

function requireNobodyElses(host: HostView, endpoints: readonly PciFunction[]): void {
  const { target } = host;
  const others = endpoints.filter((fn) => !isFree(host, fn) && !isForTarget(host, fn));
  if (others.length === 0) return;
  const named = others.slice(0, namedMax).map((fn) => `${fn.address} (${fn.driver ?? 'ordered'})`);
  const more = others.length > namedMax ? ` and ${others.length - namedMax} more` : '';
  throw new RefusedAct(
    'host-use',
    `A bus reset of ${target.address} would reset what is neither free nor bound with it: ${named.join(', ')}${more}.`,
  );
}

/** Nobody has it, and nobody is being given it. */
function isFree(host: HostView, fn: PciFunction): boolean {
  if (fn.driver !== undefined || host.bindingOf(fn) !== undefined) return false;
  return fn.address === host.target.address || !host.order.ordered.includes(fn.address);
}

/** On vfio-pci for its IOMMU group, which one guest has as a whole. */
function isForTarget(host: HostView, fn: PciFunction): boolean {
  const { target } = host;
  if (fn.driver?.includes('vfio') !== true) return false;
  if (fn.address === target.address) return true;
  const heldFor = host.isOurs(fn) ? (host.bindingOf(fn)?.heldFor ?? []) : [];
  const group = new Set([target, ...host.groupOthers(target)].map(({ address }) => address));
  return heldFor.length > 0 && heldFor.every((address) => group.has(address));
}

function perform(
  { path, address }: Pick<PciFunction, 'path' | 'address'>,
  name: string,
  write: Write,
): void {
  try {
    write(`${path}/${name}`, '1');
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

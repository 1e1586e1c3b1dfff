/** What the agent asks for itself after the host was started anew: what its notes say, and nothing else. */
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { ActDone } from '../act-order.ts';
import { bind } from './bind.ts';
import { idsOf, type HostView } from './host-view.ts';
import { RefusedAct } from './refused-act.ts';
import { sameSerialOf } from './serial.ts';
import { setVfCount } from './vfs.ts';

/** Refused for another card than was bound there, and for a group that another function has come to. */
export async function bindAgain(host: HostView): Promise<ActDone> {
  const { target } = host;
  for (const fn of [target, ...host.groupOthers(target)]) requireSame(host, fn);
  return await bind(host);
}

/** Where there are some already, somebody else has made them. */
export async function makeVfsAgain(host: HostView): Promise<ActDone> {
  const { target } = host;
  if (host.order.params['ids'] !== idsOf(target)) throw anotherCard(target);
  if ((target.integer('sriov_numvfs') ?? 0) > 0) return { result: {} };
  return await setVfCount(host);
}

function anotherCard(fn: PciFunction): RefusedAct {
  const message = `${idsOf(fn)}, which is at ${fn.address} now, was not given from there before.`;
  return new RefusedAct('gone', message);
}

function requireSame(host: HostView, fn: PciFunction): void {
  const note = host.bindingOf(fn);
  if (note === undefined) throw anotherCard(fn);
  const { serial } = note;
  if (serial === undefined) return;
  const now = sameSerialOf(host, fn, serial);
  if (now === undefined) {
    // An NVMe's number is known when its kernel driver has asked it.
    throw new RefusedAct(
      'transient',
      `Whether ${fn.address} is the same card (${serial}) cannot be read.`,
    );
  }
  if (now === serial) return;
  throw new RefusedAct(
    'gone',
    `At ${fn.address} is another card now: ${now}, and ${serial} was bound.`,
  );
}

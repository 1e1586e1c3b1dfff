/** A look at one QMP socket. */
import { stat } from 'node:fs/promises';
import type { PlanKind } from '@cyborg/driver-sdk/protocol';
import { isInstanceId } from '../device-name.ts';
import type { ObservedInstance } from '../hypervisor.ts';
import { hasCode } from '../node-error.ts';
import type { QmpDoor } from './door.ts';
import type { GuestFacts } from './facts.ts';
import { devicesOf, nameOf, runStateOf, uuidOf } from './machine.ts';
import { readProjectFile } from './project-file.ts';
import { QmpError, type QmpConnection } from './qmp.ts';

export type Look =
  | {
      readonly kind: 'answers';
      readonly instance: ObservedInstance;
      readonly warning: string | null;
    }
  /** Not an instance that can be managed. */
  | { readonly kind: 'ignored'; readonly warning: string }
  /** Somebody may be there. */
  | { readonly kind: 'silent'; readonly warning: string | null }
  /** Nobody listens on it. */
  | { readonly kind: 'dead' };

export interface LookOptions {
  readonly socket: string;
  readonly door: QmpDoor;
  readonly isWatching: boolean;
  readonly facts: GuestFacts;
  /** What this host can plug into any machine. */
  readonly plugs: readonly PlanKind[];
}

/** @throws the signal's reason. */
export async function lookAt(options: LookOptions, signal: AbortSignal): Promise<Look> {
  const { socket } = options;
  try {
    const found = await stat(socket, { bigint: true });
    if (!found.isSocket()) return { kind: 'ignored', warning: `${socket} is not a socket.` };
    const identity = `${found.dev}:${found.ino}:${found.ctimeNs}`;
    return await options.door.use(async (qmp) => await observe(options, qmp, identity), {
      signal,
      listen: options.isWatching,
    });
  } catch (error) {
    return toLook(error);
  }
}

function toLook(error: unknown): Look {
  if (hasCode(error, 'ENOENT')) return { kind: 'dead' };
  if (!(error instanceof QmpError)) throw error;
  if (error.failure === 'dead') return { kind: 'dead' };
  if (error.failure === 'not-qmp') return { kind: 'ignored', warning: error.message };
  return { kind: 'silent', warning: error.message };
}

async function observe(
  { socket, facts, plugs: hostPlugs }: LookOptions,
  qmp: QmpConnection,
  identity: string,
): Promise<Look> {
  const id = await uuidOf(qmp);
  if (!isInstanceId(id) || /^[0-]*$/.test(id)) {
    const warning = `The guest on ${socket} has no UUID: start QEMU with -uuid to manage it.`;
    return { kind: 'ignored', warning };
  }
  const { projectId, warning } = await readProjectFile(socket);
  const name = (await nameOf(qmp)) ?? id;
  const state = await runStateOf(qmp);
  const { ours, functions } = await devicesOf(qmp);
  const { plugs, numaNodes } = await facts.of({ identity, socket, id }, qmp);
  const instance: ObservedInstance = {
    id,
    name,
    projectId,
    state,
    plugs: plugs.filter((kind) => hostPlugs.includes(kind)),
    devices: ours,
    functions,
    ...(numaNodes === undefined ? {} : { numaNodes }),
  };
  return { kind: 'answers', instance, warning };
}

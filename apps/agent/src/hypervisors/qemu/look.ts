/** A look at one QMP socket. */
import { stat } from 'node:fs/promises';
import type { PlanKind } from '@cyborg/driver-sdk/protocol';
import { isInstanceId } from '../device-name.ts';
import type { ObservedInstance } from '../hypervisor.ts';
import { hasCode } from '../node-error.ts';
import type { QmpDoor } from './door.ts';
import { nameOf, ourDevices, plugsOf, runStateOf, uuidOf } from './machine.ts';
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
  readonly plugsCache: PlugsCache;
}

/** What a QEMU was built with does not change while it runs, and each QEMU makes its socket anew. */
export class PlugsCache {
  readonly #plugs = new Map<string, readonly PlanKind[]>();

  async of(socketIdentity: string, qmp: QmpConnection): Promise<readonly PlanKind[]> {
    const found = this.#plugs.get(socketIdentity);
    if (found !== undefined) return found;
    const plugs = await plugsOf(qmp);
    if (this.#plugs.size >= 1024) this.#plugs.clear();
    this.#plugs.set(socketIdentity, plugs);
    return plugs;
  }
}

/** @throws the signal's reason. */
export async function lookAt(options: LookOptions, signal: AbortSignal): Promise<Look> {
  const { socket } = options;
  try {
    const found = await stat(socket, { bigint: true });
    if (!found.isSocket()) return { kind: 'ignored', warning: `${socket} is not a socket.` };
    const identity = `${found.dev}:${found.ino}:${found.ctimeNs}`;
    return await options.door.use(
      async (qmp) => await observe(socket, qmp, await options.plugsCache.of(identity, qmp)),
      { signal, listen: options.isWatching },
    );
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
  socket: string,
  qmp: QmpConnection,
  plugs: readonly PlanKind[],
): Promise<Look> {
  const id = await uuidOf(qmp);
  if (!isInstanceId(id) || /^[0-]*$/.test(id)) {
    const warning = `The guest on ${socket} has no UUID: start QEMU with -uuid to manage it.`;
    return { kind: 'ignored', warning };
  }
  const { projectId, warning } = await readProjectFile(socket);
  const name = (await nameOf(qmp)) ?? id;
  const state = await runStateOf(qmp);
  const devices = await ourDevices(qmp);
  return { kind: 'answers', instance: { id, name, projectId, state, plugs, devices }, warning };
}

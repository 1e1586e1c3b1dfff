/**
 * What guests held when the host went down, prepared again from the agent's notes alone: without server, drivers and
 * hypervisor, and so before libvirt starts the machines that have it in their configuration. It takes nothing from
 * anybody: each act looks at the host just before, as one that a driver asks for does.
 */
import { DriverCallError } from '@cyborg/driver-host/driver-error';
import type { Clock } from '@cyborg/service/clock';
import { messageOf } from '../hypervisors/node-error.ts';
import type { Log } from '../log.ts';
import type { Asker, PrivilegedActs } from '../privileged/acts.ts';
import type { Binding, Bindings } from '../privileged/bindings.ts';

export const prepareHeldLimits = {
  /** The host waits while it starts: virtual functions, then all that was held, are tried again for so long each. */
  patienceMs: 45_000,
  /** What is not there and what the host uses stays so, but for a look of udev at a new disk. */
  shortPatienceMs: 10_000,
  againMs: 500,
  atOnceMax: 4,
} as const;

export interface PrepareHeldDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly acts: Pick<PrivilegedActs, 'again'>;
  readonly bindings: Pick<Bindings, 'list' | 'listVfs'>;
  /** Loads a kernel module where host policy allows it. @returns why not. */
  readonly loadModule: (name: string, backendId: string) => Promise<string | undefined>;
}

export interface HeldFunction {
  readonly address: string;
  readonly backend: string;
  readonly kernelDriver: string;
  /** Whose kernel drivers were taken away, which their configuration allowed. */
  readonly unbind: readonly string[];
  /** All that was bound for it: its IOMMU group, itself among them. */
  readonly group: readonly string[];
}

/** Functions that were on a driver for guests. */
export function heldIn(notes: readonly Binding[]): HeldFunction[] {
  return notes.flatMap(({ address, backend, boundTo, heldFor }) => {
    if (boundTo === null || !heldFor.includes(address)) return [];
    const group = notes.filter((note) => note.heldFor.includes(address));
    const taken = group.filter(({ driver }) => driver !== null);
    // A bridge is taken out of the way where the function's own configuration allows it.
    const unbind = taken.map((note) => (note.boundTo === null ? address : note.address));
    return [
      {
        address,
        backend,
        kernelDriver: boundTo,
        unbind: [...new Set(unbind)],
        group: group.map((note) => note.address),
      },
    ];
  });
}

/** Resolves when all that can be prepared is; what cannot is said in the log. */
export async function prepareHeld(deps: PrepareHeldDeps): Promise<void> {
  const { acts, bindings, clock, log } = deps;
  const held = heldIn(await bindings.list());
  if (held.length === 0) {
    log.info({}, 'nothing on this host was held for a guest');
    return;
  }
  await loadModules(deps, held);
  const beganMs = clock.monotonicMs();
  await forEach(await bindings.listVfs(), async ({ address, ids, count }) => {
    const asker = askerOf('nobody', [address]);
    const act = (): Promise<void> => acts.again('makeVfsAgain', { address, ids, count }, asker);
    await tryAgain(deps, { address, startedMs: beganMs, act });
  });
  const startedMs = clock.monotonicMs();
  await forEach(held, async ({ address, backend, kernelDriver, unbind, group }) => {
    const params = { address, kernel_driver: kernelDriver, unbind };
    const asker = askerOf(backend, group);
    const act = (): Promise<void> => acts.again('bindAgain', params, asker);
    await tryAgain(deps, { address, startedMs, act });
  });
}

/** There are no drivers and no orders yet. */
function askerOf(backend: string, addresses: readonly string[]): Asker {
  return {
    wanted: { id: backend, name: backend },
    addresses: () => addresses,
    acceleratorsAt: () => [],
  };
}

async function loadModules(
  { loadModule, log }: PrepareHeldDeps,
  held: readonly HeldFunction[],
): Promise<void> {
  const users = new Map(held.map(({ kernelDriver, backend }) => [kernelDriver, backend]));
  for (const [module, backend] of users) {
    const reason = await loadModule(module, backend).catch(messageOf);
    if (reason !== undefined) log.warn({ module, reason }, 'a kernel module is missing');
  }
}

interface Attempt {
  readonly address: string;
  readonly startedMs: number;
  readonly act: () => Promise<void>;
}

async function tryAgain(
  { clock, log }: PrepareHeldDeps,
  { address, startedMs, act }: Attempt,
): Promise<void> {
  for (;;) {
    try {
      await act();
      log.info({ address }, 'is prepared again for the guest that held it');
      return;
    } catch (error) {
      if (clock.monotonicMs() - startedMs >= patienceFor(error)) {
        const what = 'is not prepared again: the agent does it when the ledger says so';
        log.warn({ address, reason: messageOf(error) }, what);
        return;
      }
    }
    await clock.sleep(prepareHeldLimits.againMs);
  }
}

function patienceFor(error: unknown): number {
  if (!(error instanceof DriverCallError)) return 0;
  if (error.failure === 'transient') return prepareHeldLimits.patienceMs;
  const mayPass = error.failure === 'host-use' || error.failure === 'gone';
  return mayPass ? prepareHeldLimits.shortPatienceMs : 0;
}

/** A few at once: one that hangs in the kernel keeps one place. */
async function forEach<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const worker = async (): Promise<void> => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: prepareHeldLimits.atOnceMax }, worker));
}

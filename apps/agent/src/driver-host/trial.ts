/**
 * Another version, beside the one that runs: it must take every backend and find what is held, or the one that runs stays.
 * It is not asked to prepare, release or clean anything meanwhile.
 */
import type { Inventory } from '@cyborg/driver-sdk/protocol';
import type { HostPreparation } from '../host-needs/host-preparation.ts';
import type { Backend } from './backend.ts';
import { toNeeded } from './needed.ts';
import { Postponed } from './postponed.ts';
import type { SupervisedDriver } from './supervised-driver.ts';

/** Keys of a backend's accelerators that the ledger gives to somebody; undefined while it has not been read. */
export type HeldKeys = (backendId: string) => ReadonlySet<string> | undefined;

export interface TrialDeps {
  readonly preparation: Pick<HostPreparation, 'prepare'>;
  readonly heldKeys: HeldKeys;
  readonly signal: AbortSignal;
}

const shownMax = 5;

/**
 * @returns the generation of each backend that the driver was given.
 * @throws Postponed; Error with what the version lacks.
 */
export async function tryVersion(
  next: SupervisedDriver,
  backends: readonly Backend[],
  deps: TrialDeps,
): Promise<Map<Backend, number>> {
  const given = new Map<Backend, number>();
  for (const backend of backends) {
    const { generation } = backend.wanted;
    if (await tryBackend(next, backend, deps)) given.set(backend, generation);
  }
  return given;
}

/** @returns whether it is ready with it. */
async function tryBackend(
  next: SupervisedDriver,
  backend: Backend,
  { heldKeys, signal, preparation }: TrialDeps,
): Promise<boolean> {
  const { id, name, kind } = backend.wanted;
  const before = backend.inventory;
  const lacking = await preparation.prepare(next.package, { id, kind });
  const wish = { backend: backend.spec, dry_run: false };
  const needed = lacking ?? toNeeded(await next.call('install', wish, { signal }));
  // What works neither with one version nor with the other is no reason to stay.
  if (before === undefined) return needed === undefined;
  if (needed !== undefined) throw new Error(`backend ${name} is not ready with it: ${needed}`);
  const after = keysOf(await next.call('discover', { backend: name }, { signal }));
  const held = heldKeys(id);
  if (held === undefined) throw new Postponed('what is held on this host is not known yet');
  const lost = [...keysOf(before)].filter((key) => held.has(key) && !after.has(key));
  if (lost.length === 0) return true;
  const names = lost.slice(0, shownMax).join(', ');
  throw new Error(
    `it does not find ${lost.length} of the accelerators of backend ${name} that are held: ${names}`,
  );
}

function keysOf({ devices }: Inventory): Set<string> {
  const accelerators = devices.flatMap(({ deployables }) =>
    deployables.flatMap((deployable) => deployable.accelerators),
  );
  return new Set(accelerators.map(({ key }) => key));
}

/** What becomes of what is held when its driver is uninstalled by force. */
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';

import type { ConductorDeps } from '../deps.ts';
import { commitDraft, moveAccelerator, openDraft } from '../orders/draft.ts';
import { failCleaning } from '../orders/outcomes.ts';
import { take } from '../orders/taking.ts';
import { scopeOf } from '../scope.ts';
import type { Act } from '../transaction.ts';
import { inUse, type Use } from './users.ts';

const keptReason = 'its driver was uninstalled by force';

/**
 * What Nova plugged is Nova's to unplug, and goes with its server.
 *
 * @throws ServiceError `in-use` with what Nova has.
 */
export function refuseNovas(
  uses: readonly Use[],
  { caller, driverId }: { readonly caller: Caller; readonly driverId: string },
): void {
  const novas = uses.filter(({ origin }) => origin === 'nova');
  if (novas.length === 0) return;
  throw inUse(novas, {
    scope: scopeOf(caller),
    verb: `detach what Nova plugged and uninstall driver ${driverId}`,
    wayOut:
      'Delete or shelve these servers with the Compute API first, or uninstall with keep_attached (`--keep-attached`): they stay attached, without their driver.',
  });
}

/** What is being given or cleaned has an order on its way to the host: a moment later it is one thing or the other. */
export function refuseInMotion(uses: readonly Use[]): void {
  const moving = uses.find(({ state }) => state === 'reserved' || state === 'updating');
  if (moving === undefined) return;
  throw new ServiceError(
    'wrong-state',
    `Accelerator ${moving.name} on ${moving.host} is ${moving.state}: wait until that is over, then force it again.`,
  );
}

/** The normal way back: unplugged, released, cleaned. What is being cleaned or written to is waited for. */
export async function detachHeld(
  { ledger }: Pick<ConductorDeps, 'ledger'>,
  running: Act,
  { caller, uses }: { readonly caller: Caller; readonly uses: readonly Use[] },
): Promise<void> {
  const draft = await openDraft(running, {
    ids: uses.map(({ id }) => id),
    ledger,
    userId: caller.userId,
  });
  const reason = `Its driver is being uninstalled by force by ${caller.userName}.`;
  for (const row of draft.accelerators.values()) take(draft, row, { operationId: null, reason });
  await commitDraft(draft);
  for (const { host_id } of uses) running.wakeUps.add(`host:${host_id}`);
}

/** Nothing is detached: what is attached stays so, orphaned until a driver reports it again. */
export async function orphanHeld(
  { ledger }: Pick<ConductorDeps, 'ledger'>,
  running: Act,
  { caller, uses }: { readonly caller: Caller; readonly uses: readonly Use[] },
): Promise<void> {
  const draft = await openDraft(running, {
    ids: uses.map(({ id }) => id),
    ledger,
    userId: caller.userId,
  });
  for (const row of draft.accelerators.values()) {
    // Whoever waits for the cleaning is told that it does not come.
    if (row.state === 'cleaning') failCleaning(draft, row, { reason: keptReason, evidence: [] });
    if (row.state !== 'attached') continue;
    moveAccelerator(draft, row, {
      event: 'orphan',
      changes: { reason: keptReason },
      told: { data: { instance_id: row.instance_id } },
    });
  }
  await commitDraft(draft);
}

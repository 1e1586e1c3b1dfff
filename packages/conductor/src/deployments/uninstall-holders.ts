/** What becomes of what is held when its driver is uninstalled by force. */
import { acceleratorLifecycle, type AcceleratorEvent } from '@cyborg/model/accelerator-lifecycle';
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { nextState } from '@cyborg/model/lifecycle';

import type { ConductorDeps } from '../deps.ts';
import { commitDraft, openDraft } from '../orders/draft.ts';
import { take } from '../orders/taking.ts';
import { recordEvents } from '../record-event.ts';
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

const forcedEvents: Readonly<Record<string, AcceleratorEvent>> = {
  attached: 'orphan',
  cleaning: 'fail-cleaning',
};

/** Nothing is detached: what is attached stays so, orphaned until a driver reports it again. */
export async function orphanHeld(
  running: Act,
  { caller, uses }: { readonly caller: Caller; readonly uses: readonly Use[] },
): Promise<void> {
  for (const use of uses) {
    const event = forcedEvents[use.state];
    if (event === undefined) continue;
    const from = use.state === 'attached' ? 'attached' : 'cleaning';
    const state = nextState(acceleratorLifecycle, from, event);
    await running.tx
      .updateTable('accelerator')
      .set({ state, reason: keptReason, updated_at: running.now })
      .where('id', '=', use.id)
      .execute();
    await recordEvents(running, [
      {
        kind: `accelerator.${state}`,
        subjectKind: 'accelerator',
        subjectId: use.id,
        hostId: use.host_id,
        projectId: use.project_id,
        userId: caller.userId,
        data: {
          reason: keptReason,
          instance_id: use.instance_id,
          attachment_id: use.attachment_id,
        },
      },
    ]);
  }
}

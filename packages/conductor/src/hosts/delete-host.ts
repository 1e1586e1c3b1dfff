/** host-delete: a host that is no more leaves the ledger, with all that it had. What is held does not go with it. */
import type { Caller } from '@cyborg/model/caller';
import { sql } from 'kysely';

import { forgetHost } from '../deployments/forget-host.ts';
import type { ConductorDeps } from '../deps.ts';
import { dryRun, type Change, type DryRunView } from '../dry-run.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { commitDraft, openDraft } from '../orders/draft.ts';
import { failCleaning } from '../orders/outcomes.ts';
import { recordEvents } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';
import { contentsInWords, planDeletion, type DeletionPlan } from './deletion-plan.ts';
import { hostEvent } from './host-event.ts';

export type DeleteHostInput = Input<
  { readonly host: string },
  DryRunQuery & { readonly reason?: string | undefined }
>;

export async function deleteHost(
  deps: ConductorDeps,
  caller: Caller,
  { params, query, ifMatch }: DeleteHostInput,
): Promise<null | DryRunView> {
  const asked = { caller, host: params.host, ifMatch, reason: query.reason };
  if (query.dry_run === true) {
    return dryRun(deps, async (running) =>
      changesOf(await planDeletion(running, asked, { isLocked: false })),
    );
  }
  return act(deps, async (running) => {
    const plan = await planDeletion(running, asked, { isLocked: true });
    const by = { userId: caller.userId, reason: query.reason ?? null };
    await endCleanings(deps, running, { plan, by });
    await forgetHost(running, plan.host, { naming: plan.naming, userId: by.userId });
    await removeHost(running, plan);
    await tell(running, { plan, by });
    return null;
  });
}

interface Deletion {
  readonly plan: DeletionPlan;
  readonly by: { readonly userId: string; readonly reason: string | null };
}

function changesOf({ host, contents, unclean, naming }: DeletionPlan): Change[] {
  return [
    {
      subject_kind: 'host',
      subject_id: host.id,
      change: `${host.name} goes, and of it: ${contentsInWords(contents)}`,
    },
    ...unclean.map(({ id, name, state }) => ({
      subject_kind: 'accelerator',
      subject_id: id,
      change: `${name} goes although it is ${state}`,
    })),
    ...naming.map(({ driver_id, name, left }) => ({
      subject_kind: 'driver',
      subject_id: driver_id,
      change:
        left === undefined
          ? `backend ${name} is for no other host: it goes from the deployment`
          : `backend ${name} does not name ${host.name} any more`,
    })),
  ];
}

/** Whoever waits for one of these cleanings is told that it did not come to its end. */
async function endCleanings(
  deps: ConductorDeps,
  running: Act,
  { plan: { host, unclean }, by }: Deletion,
): Promise<void> {
  const cleaning = unclean.filter(({ state }) => state === 'cleaning');
  if (cleaning.length === 0) return;
  const ids = cleaning.map(({ id }) => id);
  const draft = await openDraft(running, { ids, ledger: deps.ledger, userId: by.userId });
  const reason = `host ${host.name} was deleted: ${by.reason}`;
  for (const row of draft.accelerators.values()) {
    failCleaning(draft, row, { reason, evidence: [] });
  }
  await commitDraft(draft);
}

/**
 * What refers to the host goes with its row. Its resource providers go from Placement when the reconciler has seen the
 * event, or looks at all of them again: the rows that remember them stay until then.
 */
async function removeHost(running: Act, { host }: DeletionPlan): Promise<void> {
  const { tx, wakeUps } = running;
  await tx.deleteFrom('join_token').where('host_name', '=', host.name).execute();
  // Of a writing that is over; it names the accelerator that goes first.
  await sql`delete from programming where host_id = ${host.id}::uuid`.execute(tx);
  await tx.deleteFrom('host').where('id', '=', host.id).execute();
  wakeUps.add('deployments').add('cleaned').add(`host:${host.id}`);
}

/** Events that one statement carries. */
const eventsAtOnceMax = 1000;

async function tell(
  running: Act,
  { plan: { host, unclean, contents }, by: { userId, reason } }: Deletion,
): Promise<void> {
  for (let at = 0; at < unclean.length; at += eventsAtOnceMax) {
    const events = unclean.slice(at, at + eventsAtOnceMax).map((row) => ({
      kind: 'accelerator.deleted' as const,
      subjectKind: 'accelerator',
      subjectId: row.id,
      hostId: host.id,
      userId,
      data: {
        name: row.name,
        backend: row.backend,
        key: row.key,
        state_before: row.state,
        why_unclean: row.reason,
        reason,
      },
    }));
    await recordEvents(running, events);
  }
  await recordEvents(running, [
    hostEvent(host, 'host.deleted', {
      userId,
      data: { reason, unclean: unclean.length, went: contents },
    }),
  ]);
}

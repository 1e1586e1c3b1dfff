/** host-revoke: the lease cannot be renewed any more; what is attached stays attached. */
import type { Caller } from '@cyborg/model/caller';

import type { ConductorDeps } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import { changedAt } from '../etag.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { actOnce } from '../idempotency.ts';
import { recordEvents } from '../record-event.ts';
import { scopeOf } from '../scope.ts';
import type { Act } from '../transaction.ts';
import { findHost, type HostRow } from './find-host.ts';
import { hostEvent } from './host-event.ts';
import { viewHost, type HostView } from './view.ts';

export async function revokeHost(
  deps: ConductorDeps,
  caller: Caller,
  { params, query, idempotencyKey: key }: Input<{ readonly host: string }, DryRunQuery>,
): Promise<HostView | DryRunView> {
  if (query.dry_run === true) {
    return dryRun(deps, async ({ tx }) => {
      const row = await findHost(tx, scopeOf(caller), params);
      const change = `the credential of the agent of ${row.name} is revoked; attachments stay`;
      return [{ subject_kind: 'host', subject_id: row.id, change }];
    });
  }
  const path = `/v3/hosts/${params.host}/revoke`;
  return actOnce(deps, { caller, method: 'POST', path, key, body: null }, async (running) => {
    const row = await findHost(running.tx, scopeOf(caller), { ...params, isLocked: true });
    const after = await revoke(running, row, caller);
    return viewHost({ db: running.tx, scope: scopeOf(caller), now: running.now }, after);
  });
}

/** With its event. */
export async function revoke(running: Act, row: HostRow, caller: Caller): Promise<HostRow> {
  const { tx, now } = running;
  await recordEvents(running, [hostEvent(row, 'host.revoked', { userId: caller.userId })]);
  return tx
    .updateTable('host')
    .set({
      credential_hash: null,
      revoked_at: now,
      updated_at: changedAt(row, now),
    })
    .where('id', '=', row.id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

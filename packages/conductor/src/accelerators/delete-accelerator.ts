/** accelerator-delete: the inverse of create; refused while held. */
import { isAdmin, type Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';

import { sql } from 'kysely';

import { selectBackends, type BackendRow } from '../backends/find-backend.ts';
import { additionsKey } from '../deployments/additions.ts';
import { inUse } from '../deployments/users.ts';
import type { ConductorDeps, Db } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import { checkIfMatch } from '../etag.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import type { AcceleratorRow } from '../inventory/rows.ts';
import { recordEvents } from '../record-event.ts';
import { acceleratorsInScope, scopeOf } from '../scope.ts';
import { act, type Act } from '../transaction.ts';
import { writeAdditions } from './create-accelerator.ts';
import { takeOfferBack } from './offer-by-address.ts';
import { acceleratorNotFound } from './view.ts';

export type DeleteAcceleratorInput = Input<{ readonly id: string }, DryRunQuery>;

export async function deleteAccelerator(
  deps: ConductorDeps,
  caller: Caller,
  { params, query, ifMatch }: DeleteAcceleratorInput,
): Promise<null | DryRunView> {
  if (query.dry_run === true) {
    return dryRun(deps, async (running) => {
      const { row } = await plan(running, caller, { id: params.id, ifMatch, isLocked: false });
      return [{ subject_kind: 'accelerator', subject_id: row.id, change: `${row.name} goes` }];
    });
  }
  return act(deps, async (running) => {
    const { row, backend } = await plan(running, caller, {
      id: params.id,
      ifMatch,
      isLocked: true,
    });
    if (backend.kind === 'pci' && !isGone(row)) await takeOfferBack(running, row, caller);
    else await removeRow(running, { row, backend, caller });
    return null;
  });
}

const heldStates: ReadonlySet<string> = new Set([
  'reserved',
  'attached',
  'orphaned',
  'cleaning',
  'cleaning_failed',
  'updating',
]);

/** @throws ServiceError `forbidden`: a project sees what it holds, and manages only what is granted to it. */
async function grantedBackend(
  tx: Db,
  caller: Caller,
  { of, isLocked }: { readonly of: AcceleratorRow; readonly isLocked: boolean },
): Promise<BackendRow> {
  const query = selectBackends(tx, scopeOf(caller)).where('backend.id', '=', of.backend_id);
  const row = await (isLocked ? query.forUpdate('backend') : query).executeTakeFirst();
  if (row !== undefined) return row;
  throw new ServiceError(
    'forbidden',
    `The backend of accelerator ${of.name} is not granted to your project: ask an admin for a grant, or to delete it.`,
  );
}

/** The backend is locked before its accelerator, as an inventory does. */
async function plan(
  { tx }: Act,
  caller: Caller,
  {
    id,
    ifMatch,
    isLocked,
  }: { readonly id: string; readonly ifMatch: string | undefined; readonly isLocked: boolean },
): Promise<{ readonly row: AcceleratorRow; readonly backend: BackendRow }> {
  const query = tx
    .selectFrom('accelerator')
    .selectAll()
    .where('id', '=', id)
    .where(acceleratorsInScope(scopeOf(caller)));
  const seen = await query.executeTakeFirst();
  if (seen === undefined) throw acceleratorNotFound(id);
  const backend = await grantedBackend(tx, caller, { of: seen, isLocked });
  const row = isLocked ? await query.forUpdate().executeTakeFirst() : seen;
  if (row === undefined) throw acceleratorNotFound(id);
  checkIfMatch(ifMatch, row, `accelerator ${row.name}`);
  if (heldStates.has(row.state)) {
    const use = { ...row, host: backend.host_name, backend: backend.name };
    throw inUse([use], {
      scope: scopeOf(caller),
      verb: `delete accelerator ${row.name}`,
      wayOut: wayToDelete(row),
    });
  }
  if (isGone(row) && isAdmin(caller)) return { row, backend };
  if (backend.kind !== 'pci' && !row.created_by_request) throw notByRequest(row, backend);
  if (backend.kind !== 'virtual' && !isAdmin(caller)) {
    throw new ServiceError(
      'forbidden',
      `Only an admin may delete accelerators of kind ${backend.kind}.`,
    );
  }
  return { row, backend };
}

function wayToDelete({ id, name, state, presence }: AcceleratorRow): string {
  if (state !== 'cleaning_failed') return 'Detach it first, and wait until it is clean.';
  return presence === 'absent'
    ? `When its hardware does not come back, say so first: accelerator-update ${id} --state available --reason TEXT.`
    : `Have it cleaned first: accelerator-update ${name} --state cleaning.`;
}

/** Not reported any more: an operator may take it off the list (promise 3). One just created is not reported yet. */
function isGone(row: AcceleratorRow): boolean {
  return row.presence === 'absent' && row.absent_since !== null;
}

function notByRequest(row: AcceleratorRow, backend: BackendRow): ServiceError {
  const list = additionsKey(backend.kind);
  return new ServiceError(
    'wrong-state',
    `${row.name} was not created by request: it comes from the configuration of ${backend.host_name}@${backend.name}` +
      `${list === undefined ? '' : ' (update-driver changes it)'}, or withhold it with accelerator-update --state withheld.`,
  );
}

/** With its device, when that is absent and has nothing else. */
async function removeRow(
  running: Act,
  given: { readonly row: AcceleratorRow; readonly backend: BackendRow; readonly caller: Caller },
): Promise<void> {
  const { row, backend, caller } = given;
  await running.tx.deleteFrom('accelerator').where('id', '=', row.id).execute();
  await sql`delete from device where id = ${row.device_id} and presence = 'absent'
    and not exists (select from accelerator a where a.device_id = device.id)`.execute(running.tx);
  const additions = backend.additions.filter(({ key }) => key !== row.key);
  if (additions.length < backend.additions.length) {
    await writeAdditions(running, backend, additions);
  }
  await recordEvents(running, [
    {
      kind: 'accelerator.deleted',
      subjectKind: 'accelerator',
      subjectId: row.id,
      hostId: row.host_id,
      userId: caller.userId,
      data: { name: row.name, backend: backend.name, key: row.key },
    },
  ]);
}

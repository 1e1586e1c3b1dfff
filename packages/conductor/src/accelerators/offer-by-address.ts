/** On a `pci` backend, create approves a withheld function and delete takes the approval back. */
import { acceleratorLifecycle } from '@cyborg/model/accelerator-lifecycle';
import { isAdmin, type Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { nearest, nearestHint } from '@cyborg/model/nearest';
import { nextState } from '@cyborg/model/lifecycle';
import { sql } from 'kysely';

import type { BackendRow } from '../backends/find-backend.ts';
import { changedAt } from '../etag.ts';
import { offeringOfRow } from '../inventory/offerings.ts';
import type { AcceleratorRow } from '../inventory/rows.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import type { Act } from '../transaction.ts';

interface Offer {
  readonly caller: Caller;
  readonly backend: BackendRow;
  readonly body: {
    readonly name?: string | undefined;
    readonly address?: string | undefined;
    readonly function?: string | undefined;
    readonly item?: object | undefined;
  };
}

/** Only reads. @throws ServiceError naming what keeps the function from being offered. */
export async function planOffer(
  { tx }: Act,
  { caller, backend, body }: Offer,
): Promise<AcceleratorRow> {
  if (!isAdmin(caller)) {
    throw new ServiceError('forbidden', 'address: only an admin may put hardware on offer.');
  }
  if (body.address === undefined || body.function !== undefined || body.item !== undefined) {
    throw new ServiceError(
      'invalid-input',
      `backend ${backend.host_name}@${backend.name} is of kind pci: give \`address\`, that of the function, and nothing else.`,
    );
  }
  const address = body.address.toLowerCase();
  const rows = await tx
    .selectFrom('accelerator')
    .innerJoin('device', 'device.id', 'accelerator.device_id')
    .selectAll('accelerator')
    .where('accelerator.backend_id', '=', backend.id)
    .where(sql<boolean>`lower(device.address) in (${address}, ${`0000:${address}`})`)
    .orderBy('accelerator.id')
    .execute();
  const [row] = rows;
  if (row === undefined) throw await noSuchFunction({ tx }, backend, address);
  const withheld = rows.find(({ state }) => state === 'withheld');
  if (withheld === undefined) {
    throw new ServiceError('already-exists', `${row.name} (${address}) is ${row.state} already.`, {
      extra: { accelerator_id: row.id },
    });
  }
  const after = offeringOfRow({ ...withheld, operator_choice: 'offer' });
  if (after.state === 'available') return withheld;
  throw new ServiceError(
    'wrong-state',
    `${withheld.name} (${address}) cannot be offered: ${after.reason}.`,
  );
}

async function noSuchFunction(
  { tx }: Pick<Act, 'tx'>,
  backend: BackendRow,
  address: string,
): Promise<ServiceError> {
  const known = await tx
    .selectFrom('device')
    .select('address')
    .where('backend_id', '=', backend.id)
    .where('address', 'is not', null)
    .execute();
  const names = known.flatMap((row) => row.address ?? []);
  const hint = nearestHint(address, names, 'it has found no functions');
  return new ServiceError(
    'accelerator-not-found',
    `Backend ${backend.host_name}@${backend.name} has no function at "${address}"; ${hint}.`,
    { extra: { nearest: nearest(address, names) } },
  );
}

export async function offerByAddress(running: Act, offer: Offer): Promise<string> {
  const { tx, now } = running;
  const { id } = await planOffer(running, offer);
  await tx.selectFrom('accelerator').select('id').where('id', '=', id).forUpdate().execute();
  const row = await planOffer(running, offer);
  await tx
    .updateTable('accelerator')
    .set({
      state: nextState(acceleratorLifecycle, row.state, 'offer'),
      reason: null,
      operator_choice: 'offer',
      operator_reason: null,
      ...(offer.body.name !== undefined && { name: offer.body.name }),
      updated_at: changedAt(row, now),
    })
    .where('id', '=', row.id)
    .execute();
  await tell(running, row, { caller: offer.caller, kind: 'accelerator.available' });
  return row.id;
}

/** @throws ServiceError `wrong-state` when a rule of the backend offers it, whatever an operator says. */
export async function takeOfferBack(
  running: Act,
  row: AcceleratorRow,
  caller: Caller,
): Promise<void> {
  const after = offeringOfRow({ ...row, operator_choice: null });
  if (row.operator_choice !== 'offer' || after.state === 'available') {
    throw new ServiceError(
      'wrong-state',
      `${row.name} is not on offer by request but by its backend's rules: withhold it with accelerator-update --state withheld.`,
    );
  }
  await running.tx
    .updateTable('accelerator')
    .set({
      state: nextState(acceleratorLifecycle, row.state, 'withhold'),
      reason: after.reason,
      operator_choice: null,
      operator_reason: null,
      updated_at: changedAt(row, running.now),
    })
    .where('id', '=', row.id)
    .execute();
  await tell(running, row, { caller, kind: 'accelerator.withheld' });
}

function tell(
  running: Act,
  row: AcceleratorRow,
  { caller, kind }: { readonly caller: Caller; readonly kind: NewEvent['kind'] },
): Promise<void> {
  return recordEvents(running, [
    {
      kind,
      subjectKind: 'accelerator',
      subjectId: row.id,
      hostId: row.host_id,
      userId: caller.userId,
      data: { name: row.name, by: 'request' },
    },
  ]);
}

/** Facts of accelerators that exist, and what follows for those that nobody holds. */
import { acceleratorLifecycle } from '@cyborg/model/accelerator-lifecycle';
import { nextEpoch } from '@cyborg/model/epoch';
import { nextState } from '@cyborg/model/lifecycle';
import { notApproved, offeringOf, type Offering } from '@cyborg/model/offering';
import { updateMany } from '@cyborg/store/bulk';
import { sql } from 'kysely';

import type { Ledger } from '../deps.ts';
import type { NewEvent } from '../record-event.ts';
import type { Applying } from './applying.ts';
import {
  acceleratorFacts,
  differences,
  type Absence,
  type AcceleratorFacts,
  type AcceleratorRow,
} from './rows.ts';

type Judged = AcceleratorFacts &
  Pick<AcceleratorRow, 'operator_choice' | 'operator_reason' | 'program_failure'>;

/** What the ledger knows of an accelerator decides; who holds it and since when does not. */
export function offeringOfRow(row: Judged): Offering {
  return offeringOf({
    operatorChoice: row.operator_choice,
    operatorReason: row.operator_reason,
    ruleOffers: row.rule_offers,
    hostUse: row.host_use,
    obstacle: row.obstacle,
    lacksApproval: row.driver_reason === notApproved,
    programFailure: row.program_failure,
    doubt: row.doubt,
    presence: row.presence,
    health: row.health,
  });
}

export function offeringOfNew(facts: AcceleratorFacts): Offering {
  const undecided = { operator_choice: null, operator_reason: null, program_failure: null };
  return offeringOfRow({ ...facts, ...undecided });
}

/** Rows are locked here: an attach may be taking one of them just now. */
export async function settleOfferings(
  { act, backend, deps, events }: Applying,
  changed: ReadonlyMap<string, AcceleratorFacts | Absence>,
): Promise<void> {
  if (changed.size === 0) return;
  const rows = await act.tx
    .selectFrom('accelerator')
    .selectAll()
    .where('id', '=', sql<string>`any(${[...changed.keys()]}::uuid[])`)
    .orderBy('id')
    .forUpdate()
    .execute();
  const settled = rows.map((row) =>
    settleOne(row, { ...row, ...changed.get(row.id) }, deps.ledger),
  );
  await updateMany(act.tx, {
    table: 'accelerator',
    columns: [...acceleratorFacts, 'state', 'reason', 'epoch', 'updated_at'],
    rows: settled.map(({ row }) => ({ ...row, updated_at: act.now })),
  });
  events.push(
    ...settled.map(({ row, kind, data }) => eventOf(row, kind, { ...data, backend: backend.name })),
  );
}

interface Settled {
  readonly row: AcceleratorRow;
  readonly kind: NewEvent['kind'];
  readonly data: Readonly<Record<string, unknown>>;
}

function settleOne(before: AcceleratorRow, facts: AcceleratorRow, ledger: Ledger): Settled {
  const row = { ...facts, ...stateAfter(facts, before, ledger) };
  const data = {
    changed: differences(before, facts, acceleratorFacts),
    state: row.state,
    reason: row.reason,
  };
  const isSame = row.state === before.state && row.reason === before.reason;
  return { row, kind: isSame ? 'accelerator.changed' : `accelerator.${row.state}`, data };
}

function stateAfter(
  row: AcceleratorRow,
  before: AcceleratorRow,
  { incarnation }: Ledger,
): Pick<AcceleratorRow, 'state' | 'reason'> & Partial<Pick<AcceleratorRow, 'epoch'>> {
  const { state, reason } = row;
  const isBack = before.presence === 'absent' && row.presence === 'present';
  // Perhaps it can be cleaned now; what is left of the first try counts no more.
  if (state === 'cleaning_failed' && isBack) {
    const again = nextState(acceleratorLifecycle, state, 'retry-cleaning');
    return { state: again, reason: null, epoch: nextEpoch(row.epoch, incarnation) };
  }
  // Kept through a forced uninstall, and its driver is back.
  if (state === 'orphaned' && row.presence === 'present') {
    return { state: nextState(acceleratorLifecycle, state, 'adopt'), reason: null };
  }
  if (state !== 'available' && state !== 'withheld') return { state, reason };
  const offering = offeringOfRow(row);
  const event = offering.state === 'available' ? 'offer' : 'withhold';
  return { state: nextState(acceleratorLifecycle, state, event), reason: offering.reason };
}

function eventOf(
  row: AcceleratorRow,
  kind: NewEvent['kind'],
  data: Readonly<Record<string, unknown>>,
): NewEvent {
  return {
    kind,
    subjectKind: 'accelerator',
    subjectId: row.id,
    hostId: row.host_id,
    projectId: row.project_id,
    data,
  };
}

/** accelerator-update: name, label, offer, withhold, clean again, reserve; each by role. */
import { acceleratorLifecycle } from '@cyborg/model/accelerator-lifecycle';
import { isAdmin, type Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { nextState } from '@cyborg/model/lifecycle';
import {
  findAccelerator,
  updateAccelerator as writeAccelerator,
  type EditableColumns,
  type ListedAcceleratorRow,
} from '@cyborg/store/accelerators';
import { lockAccelerators } from '@cyborg/store/holdings';
import { lookAgainAtDoubts } from '@cyborg/store/lost-attachments';
import type { TenantWords } from '@cyborg/store/schema-inventory';

import type { ConductorDeps, Db, Ledger } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import { changedAt, checkIfMatch } from '../etag.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { offeringOfRow } from '../inventory/offerings.ts';
import { recordEvents } from '../record-event.ts';
import { acceleratorsInScope, scopeOf } from '../scope.ts';
import { act, type Act } from '../transaction.ts';
import { checkMayCleanAgain, cleanedAgain, type CleanedAgain } from './clean-again.ts';
import { acceleratorNotFound, toAcceleratorView, type AcceleratorView } from './view.ts';

export interface AcceleratorEdit {
  readonly name?: string;
  readonly description?: string | null;
  readonly labels?: Readonly<Record<string, string>>;
  readonly state?: 'available' | 'withheld' | 'cleaning';
  readonly reason?: string;
  readonly resetless_reason?: string | null;
  readonly reserved_for?: string | null;
}

export type UpdateAcceleratorInput = Input<{ readonly id: string }, DryRunQuery, AcceleratorEdit>;

type Field = keyof AcceleratorEdit;

/** Whose each field is; an admin may change all of them. */
const editors: Readonly<Record<Field, 'admin' | 'manager' | 'member'>> = {
  name: 'member',
  labels: 'member',
  description: 'manager',
  state: 'admin',
  reason: 'admin',
  resetless_reason: 'admin',
  reserved_for: 'admin',
};

export async function updateAccelerator(
  deps: ConductorDeps,
  caller: Caller,
  input: UpdateAcceleratorInput,
): Promise<AcceleratorView | DryRunView> {
  const { id } = input.params;
  if (input.query.dry_run === true) {
    return dryRun(deps, async ({ tx }) => {
      const { row, next } = await plan(tx, caller, { input, ledger: deps.ledger, isLocked: false });
      return changedFields(row, next).map((field) => ({
        subject_kind: 'accelerator',
        subject_id: id,
        change: `${field}: ${JSON.stringify(row[field])} becomes ${JSON.stringify(next[field])}`,
      }));
    });
  }
  return act(deps, async (current) => {
    const { ledger } = deps;
    const { row, next } = await plan(current.tx, caller, { input, ledger, isLocked: true });
    const changed = changedFields(row, next);
    if (changed.length === 0) return toAcceleratorView(row, scopeOf(caller));
    const updatedAt = changedAt(row, current.now);
    await writeAccelerator(current.tx, id, { ...next, updated_at: updatedAt });
    await recordEvents(current, [
      {
        kind: row.state === next.state ? 'accelerator.updated' : `accelerator.${next.state}`,
        subjectKind: 'accelerator',
        subjectId: id,
        hostId: row.host_id,
        projectId: row.project_id,
        userId: caller.userId,
        data: {
          state: next.state,
          reason: next.reason,
          changed,
          ...saidBy(next, { changed, edit: input.body }),
        },
      },
    ]);
    await wakeHost(current, { row, next });
    return toAcceleratorView({ ...row, ...next, updated_at: updatedAt }, scopeOf(caller));
  });
}

/** It has something to clean; or looks again at what may have been the card that nobody waits for any more. */
async function wakeHost({ tx, wakeUps }: Act, { row, next }: EditPlan): Promise<void> {
  const isGivenUp = row.state === 'cleaning_failed' && row.presence === 'absent';
  const isOver = isGivenUp && next.state !== row.state;
  if (isOver) await lookAgainAtDoubts(tx, [row.host_id]);
  if (isOver || next.state === 'cleaning') wakeUps.add(`host:${row.host_id}`);
}

/** Why an operator decided so: what a person who reads the history asks first. */
function saidBy(
  next: EditableColumns,
  { changed, edit }: { readonly changed: readonly string[]; readonly edit: AcceleratorEdit },
): Partial<Pick<EditableColumns, 'operator_reason' | 'resetless_reason'>> {
  const { operator_reason, resetless_reason } = next;
  return {
    ...(edit.state === 'cleaning' && edit.reason !== undefined && { operator_reason: edit.reason }),
    ...(changed.includes('operator_reason') && { operator_reason }),
    ...(changed.includes('resetless_reason') && { resetless_reason }),
  };
}

interface EditPlan {
  readonly row: ListedAcceleratorRow;
  readonly next: EditableColumns;
}

async function plan(
  tx: Db,
  caller: Caller,
  {
    input,
    ledger,
    isLocked,
  }: {
    readonly input: UpdateAcceleratorInput;
    readonly ledger: Ledger;
    readonly isLocked: boolean;
  },
): Promise<EditPlan> {
  const { id } = input.params;
  await lockAccelerators(tx, { ids: [id], withoutLock: !isLocked });
  const row = await findAccelerator(tx, id, acceleratorsInScope(scopeOf(caller)));
  if (row === undefined) throw acceleratorNotFound(id);
  checkIfMatch(input.ifMatch, row, `Accelerator ${row.name}`);
  checkMayEdit(caller, row, input.body);
  return {
    row,
    next: {
      ...edited(row, input.body, ledger),
      before_tenant: beforeTenant(row, caller, input.body),
    },
  };
}

/** @throws ServiceError `forbidden`, naming the field and whose it is. */
function checkMayEdit(caller: Caller, row: ListedAcceleratorRow, edit: AcceleratorEdit): void {
  if (isAdmin(caller)) return;
  for (const [field, role] of Object.entries(editors)) {
    if (Object.hasOwn(edit, field) && !caller.roles.has(role)) {
      const whose = role === 'admin' ? 'an admin' : 'a manager or an admin';
      throw new ServiceError('forbidden', `${field}: only ${whose} may change it; leave it out.`);
    }
  }
  if (row.project_id !== caller.projectId) {
    throw new ServiceError(
      'forbidden',
      `Accelerator ${row.name} is not held by your project: you may change it while an instance of yours holds it.`,
    );
  }
}

/** What a tenant writes lasts as long as the tenant holds it; what an admin writes stays. */
function beforeTenant(
  row: ListedAcceleratorRow,
  caller: Caller,
  { name, description, labels }: AcceleratorEdit,
): TenantWords | null {
  if (!isAdmin(caller)) {
    const { name, description, labels } = row;
    return row.before_tenant ?? { name, description, labels };
  }
  if (row.before_tenant === null) return null;
  return {
    ...row.before_tenant,
    ...(name !== undefined && { name }),
    ...(description !== undefined && { description }),
    ...(labels !== undefined && { labels }),
  };
}

function edited(
  row: ListedAcceleratorRow,
  edit: AcceleratorEdit,
  ledger: Ledger,
): Omit<EditableColumns, 'before_tenant'> {
  const { reason: _reason, state: _state, ...plain } = edit;
  const next: Omit<EditableColumns, 'before_tenant'> = {
    name: plain.name ?? row.name,
    description: plain.description === undefined ? row.description : plain.description,
    labels: plain.labels ?? row.labels,
    reserved_for: plain.reserved_for === undefined ? row.reserved_for : plain.reserved_for,
    resetless_reason:
      plain.resetless_reason === undefined ? row.resetless_reason : plain.resetless_reason,
    operator_choice: row.operator_choice,
    operator_reason: row.operator_reason,
    state: row.state,
    reason: row.reason,
    epoch: row.epoch,
    doubt: row.doubt,
  };
  if (edit.state === undefined) {
    if (edit.reason === undefined) return { ...next, ...resetlessNow(row, edit, ledger) };
    throw new ServiceError(
      'invalid-input',
      'reason: it says why the state changes; give state too.',
    );
  }
  if (edit.state === 'cleaning') {
    checkMayCleanAgain(row);
    return { ...next, ...(row.state === 'cleaning_failed' && cleanedAgain(row, ledger)) };
  }
  return { ...next, ...offered(row, { state: edit.state, reason: edit.reason ?? null }) };
}

/** What could not be cleaned for want of a reset can be now. */
function resetlessNow(
  row: ListedAcceleratorRow,
  { resetless_reason: accepted }: AcceleratorEdit,
  ledger: Ledger,
): Partial<CleanedAgain> {
  const isNews = typeof accepted === 'string' && accepted !== row.resetless_reason;
  if (!isNews || row.state !== 'cleaning_failed' || row.presence !== 'present') return {};
  return cleanedAgain(row, ledger);
}

/** What is held, or being cleaned, keeps its state: the choice counts when it comes back. */
function offered(
  row: ListedAcceleratorRow,
  wish: { readonly state: 'available' | 'withheld'; readonly reason: string | null },
): Pick<EditableColumns, 'operator_choice' | 'operator_reason' | 'state' | 'reason' | 'doubt'> {
  if (wish.state === 'available') checkMayOffer(row, wish.reason);
  const choice = {
    operator_choice: wish.state === 'available' ? ('offer' as const) : ('withhold' as const),
    operator_reason: wish.reason,
    doubt: wish.state === 'available' ? null : row.doubt,
  };
  // What is not clean is out already, and says more as it is: else it could be offered without a word of how it got clean.
  const staysOut = row.state === 'cleaning_failed' && wish.state === 'withheld';
  const isFree = ['available', 'withheld', 'cleaning_failed'].includes(row.state) && !staysOut;
  if (!isFree) return { ...choice, state: row.state, reason: row.reason };
  const offering = offeringOfRow({ ...row, ...choice });
  const event = offering.state === 'available' ? 'offer' : 'withhold';
  const state = nextState(acceleratorLifecycle, row.state, event);
  return { ...choice, state, reason: offering.reason };
}

function checkMayOffer(row: ListedAcceleratorRow, reason: string | null): void {
  if (row.host_use !== null) {
    throw new ServiceError(
      'wrong-state',
      `Accelerator ${row.name} cannot be offered while its host uses it: ${row.host_use}. Free it there first.`,
    );
  }
  if (row.obstacle !== null) {
    throw new ServiceError(
      'wrong-state',
      `Accelerator ${row.name} cannot be given, whoever offers it: ${row.obstacle}. It can be offered when its driver reports that this is over (discover-services looks at once).`,
    );
  }
  if (row.doubt !== null && !reason) {
    throw new ServiceError(
      'invalid-input',
      `reason: ${row.name} is withheld because ${row.doubt}; the reason says how you know.`,
    );
  }
  if (row.state === 'cleaning_failed' && !reason) {
    throw new ServiceError(
      'invalid-input',
      `reason: ${row.name} could not be cleaned (${row.reason ?? 'no reason given'}): say why it may be given out.`,
    );
  }
}

function changedFields(
  row: ListedAcceleratorRow,
  next: EditableColumns,
): (keyof EditableColumns)[] {
  const fields = [
    'name',
    'description',
    'labels',
    'reserved_for',
    'resetless_reason',
    'doubt',
    'operator_choice',
    'operator_reason',
    'state',
    'reason',
  ] as const satisfies (keyof EditableColumns)[];
  return fields.filter((field) => JSON.stringify(row[field]) !== JSON.stringify(next[field]));
}

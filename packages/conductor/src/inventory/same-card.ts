/**
 * accelerator-update --same-as: a card without a serial number appeared in another slot, and an operator says that it is
 * the one that is gone. The ledger's entries of that one, with whoever holds them, take over the new place; the next
 * report of its driver then finds a card that came back elsewhere (moved.ts).
 */
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { findAccelerator, type ListedAcceleratorRow } from '@cyborg/store/accelerators';
import { readCards, takeOverPlace, type CardRow } from '@cyborg/store/same-card';

import {
  acceleratorNotFound,
  readAccelerator,
  type AcceleratorView,
} from '../accelerators/view.ts';
import type { ConductorDeps } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { actOnce } from '../idempotency.ts';
import { recordEvents } from '../record-event.ts';
import { acceleratorsInScope, scopeOf } from '../scope.ts';
import type { Act } from '../transaction.ts';
import { isHeld, takeTurns } from './taken.ts';

export interface SameCard {
  /** Id of the accelerator that is gone. */
  readonly same_as: string;
  /** How the operator knows. */
  readonly reason: string;
}

export type IdentifyAcceleratorInput = Input<{ readonly id: string }, DryRunQuery, SameCard>;

/**
 * Answers the accelerator that was gone, under its own id.
 *
 * @throws ServiceError `accelerator-not-found`; `wrong-state` when there is no doubt, the other one is not gone, or a part
 *   of the card that appeared is held; `invalid-input` when they cannot be one card.
 */
export async function identifyAccelerator(
  deps: ConductorDeps,
  caller: Caller,
  { params: { id }, query, body, idempotencyKey: key }: IdentifyAcceleratorInput,
): Promise<AcceleratorView | DryRunView> {
  const ids = { appeared: id, gone: body.same_as };
  if (query.dry_run === true) {
    return dryRun(deps, async (running) => {
      const pair = await plan(running, caller, { ids, withoutLock: true });
      return [{ subject_kind: 'device', subject_id: pair.gone.device.id, change: changeOf(pair) }];
    });
  }
  const path = `/v3/accelerators/${id}/identify`;
  return actOnce(deps, { caller, method: 'POST', path, key, body }, async (running) => {
    const pair = await plan(running, caller, { ids, withoutLock: false });
    await takeOverPlace(running.tx, pair);
    await tell(running, caller, { pair, reason: body.reason });
    return readAccelerator(running.tx, caller, ids.gone);
  });
}

interface Side extends CardRow {
  readonly row: ListedAcceleratorRow;
}

interface Pair {
  readonly gone: Side;
  readonly appeared: Side;
}

async function plan(
  running: Act,
  caller: Caller,
  {
    ids,
    withoutLock,
  }: {
    readonly ids: { readonly appeared: string; readonly gone: string };
    readonly withoutLock: boolean;
  },
): Promise<Pair> {
  const { tx } = running;
  const find = async (id: string): Promise<ListedAcceleratorRow> => {
    const row = await findAccelerator(tx, id, acceleratorsInScope(scopeOf(caller)));
    if (row === undefined) throw acceleratorNotFound(id);
    return row;
  };
  const before = await find(ids.appeared);
  if (!withoutLock) await takeTurns(running, before.host_id);
  const rows = { appeared: before, gone: await find(ids.gone) };
  checkBackend(rows);
  const cards = await readCards(tx, {
    backendId: before.backend_id,
    deviceIds: [rows.appeared.device_id, rows.gone.device_id],
    withoutLock,
  });
  const pair = { gone: sideOf(rows.gone, cards), appeared: sideOf(rows.appeared, cards) };
  checkAppeared(pair);
  checkGone(pair);
  checkAlike(pair);
  return pair;
}

function sideOf(row: ListedAcceleratorRow, cards: readonly CardRow[]): Side {
  const card = cards.find(({ device }) => device.id === row.device_id);
  const now = card?.accelerators.find(({ id }) => id === row.id);
  if (card === undefined || now === undefined) throw acceleratorNotFound(row.id);
  return { ...card, row: { ...row, ...now } };
}

function checkBackend({
  appeared,
  gone,
}: Readonly<Record<keyof Pair, ListedAcceleratorRow>>): void {
  if (appeared.backend_id === gone.backend_id) return;
  throw new ServiceError(
    'invalid-input',
    `same_as: ${gone.name} is of backend ${gone.host}@${gone.backend}, and ${appeared.name} of ${appeared.host}@${appeared.backend}: only what the same backend reported can be the same card.`,
  );
}

function checkAppeared({ appeared: { row, accelerators } }: Pair): void {
  if (row.doubt === null || row.presence !== 'present') {
    throw new ServiceError(
      'wrong-state',
      `There is no doubt which card ${row.name} is: only what is withheld for that can be told to be another one.`,
    );
  }
  const held = accelerators.find(({ state }) => isHeld(state));
  if (held === undefined) return;
  throw new ServiceError(
    'wrong-state',
    `${held.name} of the same card is ${held.state.replace('_', ' ')}: the card is in use as another one. Detach it first.`,
  );
}

function checkGone({ gone: { row, device } }: Pair): void {
  if (device.presence === 'absent') return;
  throw new ServiceError(
    'wrong-state',
    `same_as: ${row.name} is where it was, at ${device.address}: it can be no other card.`,
  );
}

function checkAlike({ appeared, gone }: Pair): void {
  const [one, other] = [appeared.device, gone.device];
  const isAlike = one.vendor_id === other.vendor_id && one.device_id === other.device_id;
  const keys = gone.accelerators.map(({ key }) => key);
  if (isAlike && one.serial === null && other.serial === null) {
    if (keys.every((key) => key.startsWith(other.key))) return;
    throw new ServiceError(
      'wrong-state',
      `same_as: the driver of ${gone.row.name} names its parts in another way (${keys.join(', ')} of ${other.key}): which of them came back cannot be told. Detach and delete them.`,
    );
  }
  throw new ServiceError(
    'invalid-input',
    `same_as: ${gone.row.name} is ${wordsOf(other)}, and ${appeared.row.name} ${wordsOf(one)}: they cannot be the same card.`,
  );
}

function wordsOf({ vendor_id, device_id, serial }: CardRow['device']): string {
  return `${vendor_id}:${device_id} ${serial === null ? 'without a serial number' : `with serial number ${serial}`}`;
}

function changeOf({ gone, appeared }: Pair): string {
  const names = gone.accelerators.map(({ name }) => name).join(', ');
  return `${names}, gone from ${gone.device.address}, ${gone.accelerators.length === 1 ? 'is' : 'are'} at ${appeared.device.address} now`;
}

async function tell(
  running: Act,
  caller: Caller,
  { pair: { gone, appeared }, reason }: { readonly pair: Pair; readonly reason: string },
): Promise<void> {
  await recordEvents(running, [
    {
      kind: 'device.identified',
      subjectKind: 'device',
      subjectId: gone.device.id,
      hostId: gone.device.host_id,
      userId: caller.userId,
      data: {
        reason,
        was_at: gone.device.address,
        is_at: appeared.device.address,
        replaces: appeared.device.id,
        accelerators: gone.accelerators.map(({ name }) => name),
      },
    },
  ]);
  running.wakeUps.add(`host:${gone.device.host_id}`);
}

/** Ends the writing of a program image, and the bind that waited for it, in one act. */
import { withFunctionTrait } from '@cyborg/model/v2/function-trait';
import type { AcceleratorRow } from '@cyborg/store/holdings';
import {
  findProgramming,
  listBindAcceleratorIds,
  lockDeployable,
  lockProgramming,
  setDeployableProgram,
  updateProgramming,
  type ProgrammingRow,
} from '@cyborg/store/programs';

import type { ConductorDeps } from '../deps.ts';
import { offeringOfRow } from '../inventory/offerings.ts';
import {
  commitDraft,
  moveAccelerator,
  noteAccelerator,
  openDraft,
  tell,
  type Draft,
} from '../orders/draft.ts';
import { act, type Act } from '../transaction.ts';
import { bindWhenAllAreWritten, failBind } from './end-bind.ts';
import { noteProgramResult } from './results.ts';

export type ProgramEnd =
  | { readonly is: 'succeeded' }
  | {
      readonly is: 'failed';
      readonly reason: string;
      /** Its driver may have begun: what is in the card now, nobody knows. */
      readonly wasBegun: boolean;
    };

/** What has ended already stays as it is. */
export function endProgramming(
  deps: ConductorDeps,
  id: string,
  decide: (row: ProgrammingRow, current: Act) => ProgramEnd | undefined,
): Promise<void> {
  return act(deps, async (current) => {
    const seen = await findProgramming(current.tx, id);
    if (seen === undefined) return;
    const draft = await openWithBind(current, deps, seen);
    const row = await lockProgramming(current.tx, id);
    if (row === undefined) return;
    const end = decide(row, current);
    if (end === undefined) return;
    await settle(draft, deps, { row, end });
    await commitDraft(draft);
  });
}

/** Accelerators first, of the deployable and of the bind together, in id order. */
async function openWithBind(
  current: Act,
  deps: Pick<ConductorDeps, 'ledger'>,
  { deployable_id: deployableId, bind_id: bindId, operation_id: operationId }: ProgrammingRow,
): Promise<Draft> {
  const own = await current.tx
    .selectFrom('accelerator')
    .select('id')
    .where('deployable_id', '=', deployableId)
    .execute();
  const kept = bindId === null ? [] : await listBindAcceleratorIds(current.tx, bindId);
  const ids = [...new Set([...own.map((row) => row.id), ...kept])];
  const operationIds = operationId === null ? [] : [operationId];
  return openDraft(current, { ids, operationIds, ledger: deps.ledger });
}

async function settle(
  draft: Draft,
  deps: ConductorDeps,
  { row, end }: { readonly row: ProgrammingRow; readonly end: ProgramEnd },
): Promise<void> {
  const { tx, now, wakeUps } = draft.act;
  const failure = end.is === 'failed' ? end : undefined;
  await updateProgramming(tx, row.id, {
    state: end.is,
    reason: failure?.reason ?? null,
    ...(failure === undefined && { progress_percent: 100 }),
    finished_at: now,
    claimed_by: null,
    claim_expires_at: null,
    updated_at: now,
  });
  if (failure !== undefined && row.bind_id !== null) {
    await failBind(draft, deps, { bindId: row.bind_id, reason: failure.reason });
  }
  await noteContent(draft, row, failure);
  for (const accelerator of draft.accelerators.values()) {
    if (accelerator.programming_id === row.id) giveBack(draft, accelerator, failure);
  }
  if (failure === undefined && row.bind_id !== null) {
    await bindWhenAllAreWritten(draft, deps, row.bind_id);
  }
  noteProgramResult(draft, row, failure?.reason ?? null);
  wakeUps.add('programs').add('cleaned').add(`host:${row.host_id}`);
}

/** What the card is now: of an image that was begun and not finished, nobody can say. */
async function noteContent(
  draft: Draft,
  row: ProgrammingRow,
  failure: Extract<ProgramEnd, { is: 'failed' }> | undefined,
): Promise<void> {
  const { tx, now } = draft.act;
  const locked = await lockDeployable(tx, row.deployable_id);
  if (locked !== undefined && (failure === undefined || failure.wasBegun)) {
    const isWritten = failure === undefined;
    const functionId = isWritten ? row.function_id : null;
    const driverId = locked.accelerators[0]?.driver_id ?? '';
    await setDeployableProgram(tx, {
      id: row.deployable_id,
      bitstreamId: isWritten ? row.image_id : null,
      functionId,
      traits: withFunctionTrait(locked.deployable.traits, { driverId, functionId }),
      now,
    });
  }
  tell(draft, {
    kind: failure === undefined ? 'deployable.programmed' : 'deployable.program-failed',
    subjectKind: 'deployable',
    subjectId: row.deployable_id,
    hostId: row.host_id,
    data: {
      programming_id: row.id,
      image_id: row.image_id,
      function_id: row.function_id,
      reason: failure?.reason ?? null,
    },
  });
}

function giveBack(
  draft: Draft,
  row: AcceleratorRow,
  failure: Extract<ProgramEnd, { is: 'failed' }> | undefined,
): void {
  const failed =
    failure?.wasBegun === true ? `${failure.reason.replace(/\.?$/, '.')} Program it again.` : null;
  // An attempt that never began leaves what an earlier one has spoilt.
  const program_failure = failure?.wasBegun === false ? row.program_failure : failed;
  const changes = { programming_id: null, program_failure };
  if (row.state !== 'updating') {
    noteAccelerator(draft, row, { changes, told: { kind: 'accelerator.changed' } });
    return;
  }
  const offering = offeringOfRow({ ...row, program_failure });
  moveAccelerator(draft, row, {
    event: offering.state === 'available' ? 'offer' : 'update-withheld',
    changes: { ...changes, reason: offering.reason },
  });
}

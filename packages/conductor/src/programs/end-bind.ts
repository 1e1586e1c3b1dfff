/** Ends a v2 bind that waited for program images: all of its requests are bound, or none is. */
import type { AttachmentRow } from '@cyborg/store/holdings';
import {
  listBindAttachments,
  listBindProgrammings,
  lockArqBind,
  updateArqBind,
} from '@cyborg/store/programs';
import { insertNovaEvents } from '@cyborg/store/v2/nova-events';

import type { ConductorDeps } from '../deps.ts';
import { moveAccelerator, moveAttachment, type Draft } from '../orders/draft.ts';
import { putBack } from '../orders/taking.ts';

/** After its last image: requests that were deleted or unbound meanwhile are not missed. */
export async function bindWhenAllAreWritten(
  draft: Draft,
  deps: ConductorDeps,
  bindId: string,
): Promise<void> {
  const { tx, now } = draft.act;
  const bind = await lockArqBind(tx, bindId);
  const programmings = await listBindProgrammings(tx, bindId);
  const isDone = programmings.every(({ state }) => state === 'succeeded');
  if (bind?.state !== 'started' || !isDone) return;
  const rows = await readBound(draft, bindId);
  for (const row of rows) {
    const accelerator = draft.accelerators.get(row.accelerator_id ?? '');
    if (accelerator === undefined) continue;
    const attaching = moveAttachment(draft, row, { event: 'dispatch' });
    moveAttachment(draft, attaching, { event: 'plugged', changes: { bind_id: null } });
    moveAccelerator(draft, accelerator, { event: 'attach', changes: { reason: null } });
  }
  await updateArqBind(tx, bindId, { state: 'bound', finished_at: now });
  await tellNova(draft, deps, { rows, status: 'completed' });
}

/**
 * While the PATCH is held, its answer says so. Afterwards Nova is told; until it has heard, the requests look as if they
 * were still being bound: a compute service that reads "failed" for itself would start the server without them.
 */
export async function failBind(
  draft: Draft,
  deps: ConductorDeps,
  { bindId, reason }: { readonly bindId: string; readonly reason: string },
): Promise<void> {
  const { tx, now } = draft.act;
  const bind = await lockArqBind(tx, bindId);
  if (bind?.state !== 'started') return;
  const rows = await readBound(draft, bindId);
  for (const row of rows) {
    const accelerator = draft.accelerators.get(row.accelerator_id ?? '');
    const attaching = moveAttachment(draft, row, { event: 'dispatch' });
    const changes = { accelerator_id: null, bind_id: null, reason };
    moveAttachment(draft, attaching, { event: 'fail', changes });
    if (accelerator !== undefined) putBack(draft, accelerator, 'unreserved');
  }
  await updateArqBind(tx, bindId, { state: 'failed', reason, finished_at: now });
  const isHeld = bind.is_held && now < bind.held_until;
  if (!isHeld) await tellNova(draft, deps, { rows, status: 'failed' });
}

async function readBound(draft: Draft, bindId: string): Promise<AttachmentRow[]> {
  const rows = await listBindAttachments(draft.act.tx, bindId);
  for (const row of rows) draft.attachments.set(row.id, row);
  return rows;
}

async function tellNova(
  draft: Draft,
  deps: ConductorDeps,
  {
    rows,
    status,
  }: { readonly rows: readonly AttachmentRow[]; readonly status: 'completed' | 'failed' },
): Promise<void> {
  if (deps.openstack?.nova === undefined) return;
  const told = rows.flatMap(({ id, instance_id: instanceId }) =>
    instanceId === null ? [] : [{ id, instanceId }],
  );
  await insertNovaEvents(
    draft.act.tx,
    told.map(({ id, instanceId }) => ({
      id: deps.rng.uuid(),
      attachment_id: id,
      instance_id: instanceId,
      status,
      created_at: draft.act.now,
    })),
  );
  if (told.length > 0) draft.act.wakeUps.add('nova-events');
}

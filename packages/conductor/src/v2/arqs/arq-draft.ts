/** Requests with what they hold, locked for a change: the accelerators first, as everywhere. */
import type { Caller } from '@cyborg/model/caller';
import type { AttachmentRow } from '@cyborg/store/holdings';
import { lockArqAttachments, readArqAttachments, type ArqScope } from '@cyborg/store/v2/arqs';

import type { ConductorDeps } from '../../deps.ts';
import { emptyDraft, openDraft, type Draft } from '../../orders/draft.ts';
import type { Act } from '../../transaction.ts';
import { arqNotFound } from './visible.ts';

/** A request was bound or let go between a look at it and its lock: the act is to be run again. */
class ChangedMeanwhile extends Error {
  override readonly name = 'ChangedMeanwhile';
  /** PostgreSQL's "could not serialize": transaction.ts runs the act again. */
  readonly code = '40001';
}

export interface ArqDraftOptions {
  readonly caller: Caller;
  readonly scope: ArqScope;
  /** Canonical. */
  readonly ids: readonly string[];
  /** What is gone meanwhile is left out; otherwise each one must be there. */
  readonly mayBeGone?: boolean;
  /** Of use only while they hold nothing: what they hold is not locked. */
  readonly areFree?: boolean;
}

/** @throws V2Fault 404 for the first id that the caller does not see. */
export async function openArqDraft(
  current: Act,
  deps: Pick<ConductorDeps, 'ledger'>,
  { caller, scope, ids, mayBeGone = false, areFree = false }: ArqDraftOptions,
): Promise<{ draft: Draft; arqs: AttachmentRow[] }> {
  const held = areFree ? [] : await heldBy(current, { scope, ids });
  const by = { ledger: deps.ledger, userId: caller.userId };
  const draft =
    held.length === 0 ? emptyDraft(current, by) : await openDraft(current, { ids: held, ...by });
  const locked = await lockArqAttachments(current.tx, { ...scope, ids });
  if (!mayBeGone) checkAllThere(ids, locked);
  for (const row of locked) {
    const { accelerator_id: id } = row;
    if (!areFree && id !== null && !draft.accelerators.has(id)) throw new ChangedMeanwhile();
    draft.attachments.set(row.id, row);
  }
  const byId = new Map(locked.map((row) => [row.id, row]));
  return { draft, arqs: ids.flatMap((id) => byId.get(id) ?? []) };
}

async function heldBy(
  { tx }: Act,
  { scope, ids }: Pick<ArqDraftOptions, 'scope' | 'ids'>,
): Promise<string[]> {
  const seen = await readArqAttachments(tx, { ...scope, ids });
  return seen.flatMap((row) => row.accelerator_id ?? []);
}

function checkAllThere(ids: readonly string[], rows: readonly AttachmentRow[]): void {
  const found = new Set(rows.map(({ id }) => id));
  const missing = ids.find((id) => !found.has(id));
  if (missing !== undefined) throw arqNotFound(missing);
}

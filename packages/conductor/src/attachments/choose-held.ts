/** What a detach takes away: of what the instance holds, what is named, or all of origin cyborg. */
import { liveAttachmentStates } from '@cyborg/model/attachment-lifecycle';
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { listInstanceAttachments, type ListedAttachmentRow } from '@cyborg/store/attachments';
import { listMatesThatStay } from '@cyborg/store/iommu-groups';
import { listNamedAccelerators } from '@cyborg/store/named-accelerators';
import { sql, type SqlBool } from 'kysely';

import type { Db } from '../deps.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { acceleratorsInScope, scopeOf } from '../scope.ts';
import { readInstance, type AttachContext } from './attach-context.ts';
import { checkAttachments } from './attachments-etag.ts';
import { toAcceleratorId } from './named-accelerator.ts';

export type DeleteAttachmentsInput = Input<
  { readonly instance_id: string },
  DryRunQuery & {
    readonly accelerator?: string;
    /** Several by name, for what goes only together. */
    readonly accelerators?: readonly string[];
    readonly force?: boolean;
  }
>;

/** No instance comes near it: a guest has far fewer places to plug into. */
const attachmentsPerInstanceMax = 4096;

export interface Choice {
  readonly context: AttachContext;
  readonly chosen: readonly ListedAttachmentRow[];
}

/**
 * @throws ServiceError `wrong-state` for what Nova has bound; `attachment-not-found`, `accelerator-not-found`,
 *   `choice-needed`; `part-of-group` unless forced.
 */
export async function chooseHeld(
  db: Db,
  caller: Caller,
  { params, query, ifMatch }: DeleteAttachmentsInput,
): Promise<Choice> {
  const context = await readInstance(db, caller, { instance: params.instance_id, lock: false });
  await checkAttachments(db, context.instance, ifMatch);
  const all = await listInstanceAttachments(db, {
    instanceId: context.instance.id,
    limit: attachmentsPerInstanceMax,
  });
  const held = all.filter((row) => liveAttachmentStates.some((state) => state === row.state));
  const names = namesOf(query);
  const wanted = names === undefined ? held : await pickNamed(db, names, { caller, context, held });
  const ours = wanted.filter((row) => row.origin === 'cyborg');
  const isNovas = names === undefined ? ours.length === 0 : ours.length < wanted.length;
  if (isNovas && wanted.length > 0) throw boundByNova(wanted, context);
  // Who gives up on a host takes what is left of it.
  if (query.force !== true) await refusePart(db, ours, context);
  return { context, chosen: ours };
}

/** @throws ServiceError `invalid-input`. */
function namesOf({
  accelerator,
  accelerators,
}: DeleteAttachmentsInput['query']): readonly string[] | undefined {
  if (accelerators === undefined) return accelerator === undefined ? undefined : [accelerator];
  if (accelerator === undefined) return accelerators;
  throw new ServiceError(
    'invalid-input',
    'Give one of accelerator and accelerators, not accelerator and accelerators.',
  );
}

interface Holder {
  readonly caller: Caller;
  readonly context: AttachContext;
  readonly held: readonly ListedAttachmentRow[];
}

async function pickNamed(
  db: Db,
  names: readonly string[],
  holder: Holder,
): Promise<ListedAttachmentRow[]> {
  const picked: ListedAttachmentRow[] = [];
  for (const name of names) {
    const [row, other] = holder.held.filter((one) => isNamed(one, name));
    if (row === undefined) throw await notHeld(db, name, holder);
    if (other !== undefined) throw ambiguousHeld(name, holder);
    if (picked.includes(row)) {
      throw new ServiceError(
        'invalid-input',
        `accelerators: ${name} is named twice; once is enough.`,
      );
    }
    picked.push(row);
  }
  return picked;
}

/** By id or by name. */
function isNamed(row: ListedAttachmentRow, wanted: string): boolean {
  const id = toAcceleratorId(wanted);
  return id === undefined ? row.accelerator_name === wanted : row.accelerator_id === id;
}

/** What a guest keeps of a group keeps the rest of it from being reset. What goes already is not asked again. */
async function refusePart(
  db: Db,
  chosen: readonly ListedAttachmentRow[],
  { instance }: AttachContext,
): Promise<void> {
  const going = chosen.filter((row) => row.state !== 'detaching');
  const ids = going.flatMap((row) => row.accelerator_id ?? []);
  if (ids.length === 0) return;
  const staying = await listMatesThatStay(db, { ids, instanceId: instance.id });
  const [part] = staying;
  if (part === undefined) return;
  const mates = staying.filter(({ id }) => id === part.id);
  const others = mates.map(({ mate_name: name }) => name).join(' and ');
  const whole = [...new Map([...toNamed(going), ...staying.map(toMate)]).entries()];
  const flags = whole.map(([, name]) => `--accelerator ${name}`).join(' ');
  throw new ServiceError(
    'part-of-group',
    `Accelerator ${part.name} shares IOMMU group ${part.iommu_group} with ${others}, which instance ${instance.name} would keep, and could not be reset: detach them together (${flags}), or all that the instance holds.`,
    { extra: { accelerators: whole.map(([id, name]) => ({ id, name })) } },
  );
}

function toNamed(rows: readonly ListedAttachmentRow[]): [string, string][] {
  return rows.flatMap(({ accelerator_id: id, accelerator_name: name }) =>
    id === null ? [] : [[id, name ?? id]],
  );
}

function toMate(row: { readonly mate_id: string; readonly mate_name: string }): [string, string] {
  return [row.mate_id, row.mate_name];
}

function boundByNova(
  rows: readonly ListedAttachmentRow[],
  { instance }: AttachContext,
): ServiceError {
  const novas = rows.filter(({ origin }) => origin === 'nova');
  const names = novas.map((row) => row.accelerator_name ?? row.id).join(', ');
  return new ServiceError(
    'wrong-state',
    `${names} of instance ${instance.name} was bound at boot by Nova and goes with the server: use the Compute API (delete or shelve the server).`,
    {
      extra: {
        users: novas.map(({ instance_id, accelerator_id }) => ({ instance_id, accelerator_id })),
      },
    },
  );
}

function ambiguousHeld(name: string, { held }: Holder): ServiceError {
  const rows = held.filter((row) => isNamed(row, name));
  const ids = rows.flatMap((row) => row.accelerator_id ?? []);
  return new ServiceError(
    'choice-needed',
    `The instance holds ${rows.length} accelerators that are called "${name}": choose one by id (${ids.join(', ')}).`,
    { extra: { choices: ids.map((id) => ({ accelerators: [{ id, name }] })) } },
  );
}

/** What does not exist is another mistake than what is not attached; what the instance holds helps with both. */
async function notHeld(
  db: Db,
  accelerator: string,
  { caller, context, held }: Holder,
): Promise<ServiceError> {
  const names = held.flatMap((row) => row.accelerator_name ?? []).toSorted();
  const hint = names.length === 0 ? 'no accelerators' : names.join(', ');
  const isThere = await exists(db, accelerator, { caller, context });
  const extra = { nearest: names };
  return isThere
    ? new ServiceError(
        'attachment-not-found',
        `Instance ${context.instance.name} does not hold accelerator "${accelerator}"; it holds ${hint}.`,
        { extra },
      )
    : new ServiceError(
        'accelerator-not-found',
        `There is no accelerator "${accelerator}"; instance ${context.instance.name} holds ${hint}.`,
        { extra },
      );
}

async function exists(
  db: Db,
  accelerator: string,
  { caller, context }: Omit<Holder, 'held'>,
): Promise<boolean> {
  const id = toAcceleratorId(accelerator);
  const is =
    id === undefined
      ? sql<SqlBool>`accelerator.name = ${accelerator}`
      : sql<SqlBool>`accelerator.id = ${id}::uuid`;
  const isNear = sql<SqlBool>`accelerator.host_id = ${context.hostId}`;
  const isVisible = acceleratorsInScope(scopeOf(caller));
  const where = sql<SqlBool>`${is} and (${isNear} or ${isVisible})`;
  return (await listNamedAccelerators(db, { where, limit: 1 })).length > 0;
}

/** Accelerator requests as v2 shows them. */
import type { Caller } from '@cyborg/model/caller';
import { arqStateOf, handleTypeOf, type ArqState } from '@cyborg/model/v2/arq';
import type { NewAttachment } from '@cyborg/store/ledger-changes';
import { hasUnresolved, listArqs, type ArqFilter, type ArqRow } from '@cyborg/store/v2/arqs';

import type { Db } from '../../deps.ts';
import { arqNotFound, arqScopeOf } from './visible.ts';

export interface ArqView {
  readonly uuid: string;
  readonly state: ArqState;
  readonly device_profile_name: string | null;
  readonly device_profile_group_id: number | null;
  readonly hostname: string | null;
  readonly device_rp_uuid: string | null;
  readonly instance_uuid: string | null;
  readonly project_id: string;
  readonly attach_handle_type: string;
  readonly attach_handle_uuid: string | null;
  readonly attach_handle_info: Readonly<Record<string, string>>;
  readonly created_at: Date;
  readonly updated_at: Date | null;
}

export interface ArqListQuery {
  readonly instanceId?: string | undefined;
  readonly isResolved?: boolean | undefined;
}

/** Rows read at once while a list is streamed. */
const batchRows = 200;

/**
 * In the order of their creation, batch by batch: flat in memory however many there are.
 *
 * @returns undefined while requests of the asked instance are still being bound (v2's 423).
 */
export async function openArqList(
  db: Db,
  caller: Caller,
  query: ArqListQuery,
): Promise<AsyncGenerator<ArqView[]> | undefined> {
  const filter = { ...arqScopeOf(caller), ...query };
  const waits = query.isResolved === true && query.instanceId !== undefined;
  if (waits && (await hasUnresolved(db, { ...filter, isResolved: false }))) return undefined;
  return readBatches(db, filter);
}

export async function showArq(db: Db, caller: Caller, id: string): Promise<ArqView> {
  const [row] = await listArqs(db, { ...arqScopeOf(caller), ids: [id], after: 0, limit: 1 });
  if (row === undefined) throw arqNotFound(id);
  return toArqView(row);
}

/** What was just made, of a profile of this name. */
export function toNewArqView(
  row: Pick<NewAttachment, 'id' | 'project_id' | 'profile_group' | 'created_at'>,
  profileName: string,
): ArqView {
  return toArqView({
    ...row,
    state: 'requested',
    was_bound: false,
    is_failure_untold: false,
    profile_name: profileName,
    hostname: null,
    rp_uuid: null,
    instance_id: null,
    accelerator_id: null,
    plans: null,
    attach_info: null,
    updated_at: null,
  });
}

async function* readBatches(db: Db, filter: ArqFilter): AsyncGenerator<ArqView[]> {
  for (let after = 0; ;) {
    const rows = await listArqs(db, { ...filter, after, limit: batchRows });
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows.map(toArqView);
    if (rows.length < batchRows) return;
    after = last.number;
  }
}

function toArqView(row: Omit<ArqRow, 'number' | 'origin'>): ArqView {
  const known = arqStateOf({ state: row.state, wasBound: row.was_bound });
  const state = row.is_failure_untold ? 'BindStarted' : known;
  const type = state === 'Bound' ? handleTypeOf(row.plans ?? []) : undefined;
  return {
    uuid: row.id,
    state,
    device_profile_name: row.profile_name,
    device_profile_group_id: row.profile_group,
    hostname: row.hostname,
    device_rp_uuid: row.rp_uuid,
    instance_uuid: row.instance_id,
    project_id: row.project_id,
    attach_handle_type: type ?? '',
    attach_handle_uuid: type === undefined ? null : row.accelerator_id,
    attach_handle_info: type === undefined ? {} : (row.attach_info ?? {}),
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

/** Accelerator requests as v2 shows them. */
import type { Caller } from '@cyborg/model/caller';
import { arqStateOf, handleTypeOf, type ArqState } from '@cyborg/model/v2/arq';
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
  const [view] = await readArqs(db, { ...arqScopeOf(caller), ids: [id] });
  if (view === undefined) throw arqNotFound(id);
  return view;
}

/** At most a batch: of one request. */
export async function readArqs(db: Db, filter: ArqFilter): Promise<ArqView[]> {
  const limit = filter.ids?.length ?? batchRows;
  return (await listArqs(db, { ...filter, after: 0, limit })).map(toArqView);
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

function toArqView(row: ArqRow): ArqView {
  const state = arqStateOf({ state: row.state, wasBound: row.was_bound });
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

/** Deployables as v2 lists them: parts of devices whose type upstream has a word for. */
import { sql, type Kysely, type RawBuilder, type Selectable } from 'kysely';

import type { Database } from '../schema.ts';
import type { DeployableTable } from '../schema-inventory.ts';
import { inBatches, inOrder, isAfter, type Sort } from './batches.ts';

export interface V2DeployableRow extends Selectable<DeployableTable> {
  readonly sort_value: string;
  readonly device_number: number;
  readonly driver_id: string;
  readonly accelerators: number;
  /** Keys and values, in the order in which they were added. */
  readonly attributes: readonly (readonly [string, string])[];
}

const device = sql`(select device.number from device where device.id = t.device_id)`;
const driver = sql`(select b.driver_id from device join backend b on b.id = device.backend_id
  where device.id = t.device_id)`;
const accelerators = sql`(select count(*)::integer from accelerator a where a.deployable_id = t.id)`;
const attributes = sql`(select coalesce(jsonb_agg(jsonb_build_array(x.key, x.value) order by x.number), '[]')
  from attribute x where x.deployable_id = t.id)`;

/** What `sort_key` may name. */
export const deployableSorts = {
  id: { expression: sql`t.number`, type: 'integer' },
  uuid: { expression: sql`t.id`, type: 'uuid' },
  name: { expression: sql`t.name`, type: 'text' },
  parent_id: { expression: sql`coalesce(t.parent_number, -1)`, type: 'integer' },
  root_id: { expression: sql`coalesce(t.root_number, -1)`, type: 'integer' },
  num_accelerators: { expression: accelerators, type: 'integer' },
  device_id: { expression: device, type: 'integer' },
  driver_name: { expression: driver, type: 'text' },
  rp_uuid: { expression: sql`coalesce(t.rp_uuid::text, '')`, type: 'text' },
  bitstream_id: { expression: sql`coalesce(t.bitstream_id::text, '')`, type: 'text' },
  created_at: { expression: sql`t.created_at`, type: 'timestamptz' },
  updated_at: { expression: sql`coalesce(t.updated_at, '-infinity')`, type: 'timestamptz' },
} as const satisfies Record<string, Omit<Sort, 'direction'>>;

export function streamDeployables(
  db: Kysely<Database>,
  given: {
    readonly name: string | undefined;
    readonly sort: Sort;
    readonly limit: number | undefined;
  },
): AsyncGenerator<readonly V2DeployableRow[]> {
  const { name, sort, limit } = given;
  const named = name === undefined ? sql`` : sql`and t.name = ${name}`;
  return inBatches<V2DeployableRow>(async (last, wanted) => {
    const { rows } = await sql<V2DeployableRow>`
      ${select(sort)} where t.in_v2 ${named} and ${isAfter(sort, last)}
      ${inOrder(sort)} limit ${sql.lit(wanted)}`.execute(db);
    return rows;
  }, limit);
}

const byNumber: Sort = { ...deployableSorts.id, direction: 'asc' };

export async function findV2Deployable(
  db: Kysely<Database>,
  id: string,
): Promise<V2DeployableRow | undefined> {
  const { rows } = await sql<V2DeployableRow>`
    ${select(byNumber)} where t.id = ${id}::uuid and t.in_v2`.execute(db);
  return rows[0];
}

function select({ expression }: Sort): RawBuilder<V2DeployableRow> {
  return sql`select t.*, (${expression})::text as sort_value, ${device} as device_number,
    ${driver} as driver_id, ${accelerators} as accelerators, ${attributes} as attributes
    from deployable t`;
}

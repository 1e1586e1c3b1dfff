/** v2's attribute rows follow the resource class and traits of their deployable; an operator's own are left alone. */
import { insertMany, updateMany } from '@cyborg/store/bulk';
import { sql } from 'kysely';

import type { Applying, DeployableIds } from './applying.ts';
import { attributesOf, type AttributeRow } from './rows.ts';

export async function applyAttributes(
  { inventory, known, act, deps }: Applying,
  deployableIds: DeployableIds,
): Promise<void> {
  const byDeployable = groupByDeployable(known.attributes);
  const added = [];
  const changed = [];
  const gone: string[] = [];
  for (const device of inventory.devices) {
    for (const deployable of device.deployables) {
      const deployableId = deployableIds(device.key, deployable.key);
      const wanted = attributesOf(device, deployable);
      const rows = byDeployable.get(deployableId) ?? new Map<string, AttributeRow>();
      for (const [key, value] of wanted) {
        const row = rows.get(key);
        if (row === undefined) {
          const fresh = { deployable_id: deployableId, key, value, is_operators: false };
          added.push({ id: deps.rng.uuid(), ...fresh, created_at: act.now });
        } else if (row.value !== value) {
          changed.push({ id: row.id, value, updated_at: act.now });
        }
      }
      for (const row of rows.values()) if (!wanted.has(row.key)) gone.push(row.id);
    }
  }
  await insertMany(act.tx, {
    table: 'attribute',
    columns: ['id', 'deployable_id', 'key', 'value', 'is_operators', 'created_at'],
    rows: added,
  });
  await updateMany(act.tx, { table: 'attribute', columns: ['value', 'updated_at'], rows: changed });
  if (gone.length === 0) return;
  await act.tx
    .deleteFrom('attribute')
    .where('id', '=', sql<string>`any(${gone}::uuid[])`)
    .execute();
}

function groupByDeployable(rows: readonly AttributeRow[]): Map<string, Map<string, AttributeRow>> {
  const groups = new Map<string, Map<string, AttributeRow>>();
  for (const row of rows) {
    const group = groups.get(row.deployable_id) ?? new Map<string, AttributeRow>();
    groups.set(row.deployable_id, group.set(row.key, row));
  }
  return groups;
}

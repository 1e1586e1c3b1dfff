/** A host says what a person must do there before its blocked backends can work; nothing else is kept from being attached. */
import { toJson } from '@cyborg/store/json';
import { setupRequired } from '@cyborg/store/setup-required';
import type { HostCondition } from '@cyborg/store/schema';
import { sql } from 'kysely';
import { isDeepStrictEqual } from 'node:util';

import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';

interface Row {
  readonly id: string;
  readonly conditions: readonly HostCondition[];
  /** Of its blocked backends, by name. */
  readonly steps: readonly string[];
}

export async function noteSetupRequired(act: Act, hostIds: readonly string[]): Promise<void> {
  const { rows } = await sql<Row>`
    select h.id, h.conditions, coalesce((
        select jsonb_agg(concat('backend ', b.name, ': ', b.reason) order by b.name)
        from backend b where b.host_id = h.id and b.state = 'blocked'), '[]') as steps
    from host h where h.id = any(${hostIds}::uuid[]) order by h.id`.execute(act.tx);
  for (const row of rows) {
    if (!isDeepStrictEqual(row.conditions, withOurs(row.conditions, row.steps))) {
      await write(act, row);
    }
  }
}

async function write(act: Act, { id, steps }: Row): Promise<void> {
  const host = await act.tx
    .selectFrom('host')
    .select('conditions')
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const conditions = withOurs(host.conditions, steps);
  await act.tx
    .updateTable('host')
    .set({ conditions: toJson(conditions), updated_at: act.now })
    .where('id', '=', id)
    .execute();
  const data = { conditions };
  await recordEvents(act, [
    { kind: 'host.conditions', subjectKind: 'host', subjectId: id, hostId: id, data },
  ]);
}

function withOurs(
  conditions: readonly HostCondition[],
  steps: readonly string[],
): readonly HostCondition[] {
  const others = conditions.filter(({ kind }) => kind !== setupRequired);
  if (steps.length === 0) return others;
  const ours = { kind: setupRequired, message: steps.join(' | '), blocks_attaching: false };
  return [...others, ours];
}

/** A host says what keeps its accelerators from being in Placement as they are; attaching goes on regardless. */
import { isDeepStrictEqual } from 'node:util';

import { toJson } from '@cyborg/store/json';
import { listHostTroubles, type HostTrouble } from '@cyborg/store/placement';
import type { HostCondition } from '@cyborg/store/schema';
import { sql, type SqlBool } from 'kysely';

import type { ConductorDeps } from '../deps.ts';
import { recordEvents } from '../record-event.ts';
import { act } from '../transaction.ts';

const kind = 'placement';

type ConditionDeps = Pick<ConductorDeps, 'db' | 'clock' | 'wake' | 'limits'>;

export async function keepHostConditions(
  deps: ConditionDeps,
  hostIds: readonly string[],
): Promise<void> {
  if (hostIds.length === 0) return;
  const troubles = Map.groupBy(await listHostTroubles(deps.db, hostIds), (row) => row.host_id);
  const hosts = await deps.db
    .selectFrom('host')
    .select(['id', 'conditions'])
    .where(sql<SqlBool>`id = any(${hostIds}::uuid[])`)
    .execute();
  for (const { id, conditions } of hosts) {
    const wanted = withOurs(conditions, troubles.get(id) ?? []);
    if (!isDeepStrictEqual(conditions, wanted)) await write(deps, id, troubles.get(id) ?? []);
  }
}

function write(deps: ConditionDeps, id: string, troubles: readonly HostTrouble[]): Promise<void> {
  return act(deps, async (current) => {
    const host = await current.tx
      .selectFrom('host')
      .select('conditions')
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    if (host === undefined) return;
    const conditions = withOurs(host.conditions, troubles);
    if (isDeepStrictEqual(host.conditions, conditions)) return;
    await current.tx
      .updateTable('host')
      .set({ conditions: toJson(conditions), updated_at: current.now })
      .where('id', '=', id)
      .execute();
    const data = { conditions };
    await recordEvents(current, [
      { kind: 'host.conditions', subjectKind: 'host', subjectId: id, hostId: id, data },
    ]);
  });
}

function withOurs(
  conditions: readonly HostCondition[],
  troubles: readonly HostTrouble[],
): HostCondition[] {
  const others = conditions.filter((condition) => condition.kind !== kind);
  return [
    ...others,
    ...troubles.map(({ count, reason }) => ({
      kind,
      message: `${count} of its deployables ${count === 1 ? 'is' : 'are'} not in Placement as here. ${reason}`,
      blocks_attaching: false,
    })),
  ];
}

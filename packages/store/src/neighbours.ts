/** Accelerators with everything that may keep them from being given: for saying why not. */
import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely';

import type { CandidateRow } from './candidates.ts';
import { groupMates, type GroupMate } from './iommu-groups.ts';
import { allRelatives, heldRelative, type HeldRelative, type Relative } from './relatives.ts';
import type { Database } from './schema.ts';
import { disabledService } from './services.ts';

export type NeighbourRow = CandidateRow & {
  /** Name of a disabled service that it belongs to. */
  readonly disabled_service: string | null;
  readonly held_relative: HeldRelative | null;
  /** What is a part of it, or the whole: the same hardware. */
  readonly relatives: readonly Relative[];
  /** The others of its IOMMU group. */
  readonly group_mates: readonly GroupMate[];
};

const neighboursMax = 500;

/** At most 500, in id order. */
export async function listNeighbours(
  db: Kysely<Database>,
  where: RawBuilder<SqlBool>,
): Promise<NeighbourRow[]> {
  const { rows } = await sql<NeighbourRow>`
    select a.*, b.state as backend_state, b.status as backend_status, b.name as backend, h.name as host,
      ${disabledService} as disabled_service, ${heldRelative} as held_relative,
      ${allRelatives} as relatives, ${groupMates} as group_mates
    from accelerator a join backend b on b.id = a.backend_id join host h on h.id = a.host_id
    where ${where} order by a.id limit ${sql.lit(neighboursMax)}`.execute(db);
  return rows;
}

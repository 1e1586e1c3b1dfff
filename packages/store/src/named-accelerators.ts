import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely';

import type { Database } from './schema.ts';

export interface NamedAccelerator {
  readonly id: string;
  readonly name: string;
  readonly host: string;
  readonly backend: string;
  readonly presence: 'present' | 'absent';
}

/** In order of name and id. `where` is on `accelerator`. */
export async function listNamedAccelerators(
  db: Kysely<Database>,
  { where, limit }: { readonly where: RawBuilder<SqlBool>; readonly limit: number },
): Promise<NamedAccelerator[]> {
  const { rows } = await sql<NamedAccelerator>`
    select accelerator.id, accelerator.name, accelerator.presence, h.name as host, b.name as backend
    from accelerator join backend b on b.id = accelerator.backend_id join host h on h.id = accelerator.host_id
    where ${where} order by accelerator.name, accelerator.id limit ${limit}`.execute(db);
  return rows;
}

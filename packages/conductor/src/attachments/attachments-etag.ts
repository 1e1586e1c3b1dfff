/** The ETag of what an instance holds, as a whole: it changes when something comes, goes or changes its state. */
import { sql } from 'kysely';

import type { Db } from '../deps.ts';
import { checkEtag, etagOfContent } from '../etag.ts';

export async function etagOfAttachments(db: Db, instanceId: string): Promise<string> {
  const { rows } = await sql<{ id: string; changed_at: Date }>`
    select id, coalesce(updated_at, created_at) as changed_at from attachment
    where instance_id = ${instanceId} and state <> 'released' order by id`.execute(db);
  return etagOfContent(rows.map((row) => [row.id, row.changed_at.getTime()]));
}

/** @throws ServiceError `stale-edit`. */
export async function checkAttachments(
  db: Db,
  instance: { readonly id: string; readonly name: string },
  ifMatch: string | undefined,
): Promise<void> {
  if (ifMatch === undefined) return;
  const current = await etagOfAttachments(db, instance.id);
  checkEtag(ifMatch, current, `what instance ${instance.name} holds`);
}

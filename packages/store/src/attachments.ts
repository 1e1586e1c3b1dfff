import { sql, type Kysely } from 'kysely';

import type { AttachmentRow } from './holdings.ts';
import { pageLimit } from './page-of-ids.ts';
import type { Database } from './schema.ts';

export type ListedAttachmentRow = AttachmentRow & {
  readonly accelerator_name: string | null;
  readonly accelerator_type: string | null;
  readonly host: string | null;
};

const listed = sql`select t.*, a.name as accelerator_name, a.type as accelerator_type, h.name as host
  from attachment t left join accelerator a on a.id = t.accelerator_id left join host h on h.id = t.host_id`;

/** What an instance holds or is being given or loses, in id order. */
export async function listInstanceAttachments(
  db: Kysely<Database>,
  {
    instanceId,
    after,
    limit,
  }: { readonly instanceId: string; readonly after?: string | undefined; readonly limit: number },
): Promise<ListedAttachmentRow[]> {
  const { rows } = await sql<ListedAttachmentRow>`${listed}
    where t.instance_id = ${instanceId} and t.state <> 'released'
      and t.id > ${after ?? '00000000-0000-0000-0000-000000000000'}::uuid
    order by t.id limit ${pageLimit(limit)}`.execute(db);
  return rows;
}

/** All that held it, ended ones too, newest first; of one project alone when it is given. */
export async function listAcceleratorAttachments(
  db: Kysely<Database>,
  {
    acceleratorId,
    projectId,
    before,
    limit,
  }: {
    readonly acceleratorId: string;
    readonly projectId: string | undefined;
    readonly before: number | undefined;
    readonly limit: number;
  },
): Promise<ListedAttachmentRow[]> {
  const ofProject = projectId === undefined ? sql`` : sql`and t.project_id = ${projectId}`;
  const isBefore = before === undefined ? sql`` : sql`and t.number < ${before}`;
  const { rows } = await sql<ListedAttachmentRow>`${listed}
    where t.accelerator_id = ${acceleratorId} ${ofProject} ${isBefore}
    order by t.number desc limit ${pageLimit(limit)}`.execute(db);
  return rows;
}

export async function findListedAttachment(
  db: Kysely<Database>,
  id: string,
): Promise<ListedAttachmentRow | undefined> {
  const { rows } = await sql<ListedAttachmentRow>`${listed} where t.id = ${id}`.execute(db);
  return rows[0];
}

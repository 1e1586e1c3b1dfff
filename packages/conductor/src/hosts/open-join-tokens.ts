/** Join tokens that a host may still use: listed without the token, and taken back. */
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import type { Database, JoinTokenTable } from '@cyborg/store/schema';
import { sql, type SelectQueryBuilder, type Selectable } from 'kysely';

import type { ConductorDeps, Db } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import { checkIfMatch } from '../etag.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { fromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { recordEvents } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';

export interface OpenJoinTokenView {
  readonly id: string;
  readonly host: string | null;
  readonly reenrol: boolean;
  readonly simulated: boolean;
  readonly created_by: string;
  readonly expires_at: Date;
  readonly created_at: Date;
}

export type ListJoinTokensInput = Input<object, PageQuery>;
export type DeleteJoinTokenInput = Input<{ readonly id: string }, DryRunQuery>;

type Row = Selectable<JoinTokenTable>;

export async function listJoinTokens(
  { db, clock }: Pick<ConductorDeps, 'db' | 'clock'>,
  { query }: ListJoinTokensInput,
): Promise<Page<OpenJoinTokenView>> {
  const [after] = fromMarker(query.marker, 1) ?? [];
  let rows = selectOpen(db, clock.now()).orderBy('id').limit(rowsWanted(query));
  if (after !== undefined) rows = rows.where(sql`id::text`, '>', after);
  return toPage(await rows.execute(), query, { keyOf: ({ id }) => [id], toItem: toView });
}

/** @throws ServiceError `join-token-not-found`, `stale-edit`. */
export async function deleteJoinToken(
  deps: ConductorDeps,
  caller: Caller,
  { params, query, ifMatch }: DeleteJoinTokenInput,
): Promise<null | DryRunView> {
  const plan = async ({ tx, now }: Act, isLocked: boolean): Promise<Row> => {
    const found = selectOpen(tx, now).where('id', '=', params.id);
    const row = await (isLocked ? found.forUpdate() : found).executeTakeFirst();
    if (row === undefined) throw notFound(params.id);
    const { created_at } = row;
    checkIfMatch(ifMatch, { created_at, updated_at: null }, `join token ${row.id}`);
    return row;
  };
  if (query.dry_run === true) {
    return dryRun(deps, async (running) => {
      const row = await plan(running, false);
      const change = `nobody joins as ${row.host_name ?? 'a new host'} with it any more`;
      return [{ subject_kind: 'join-token', subject_id: row.id, change }];
    });
  }
  return act(deps, async (running) => {
    const row = await plan(running, true);
    await running.tx.deleteFrom('join_token').where('id', '=', row.id).execute();
    await recordEvents(running, [
      {
        kind: 'join-token.deleted',
        subjectKind: 'join-token',
        subjectId: row.id,
        userId: caller.userId,
        data: { host: row.host_name },
      },
    ]);
    return null;
  });
}

function selectOpen(db: Db, now: Date): SelectQueryBuilder<Database, 'join_token', Row> {
  return db
    .selectFrom('join_token')
    .selectAll()
    .where('used_at', 'is', null)
    .where('expires_at', '>', now);
}

function notFound(id: string): ServiceError {
  return new ServiceError(
    'join-token-not-found',
    `There is no join token ${id} that could still be used; \`join-token-list\` lists them.`,
  );
}

function toView(row: Row): OpenJoinTokenView {
  const { id, host_name: host, is_reenrol, is_simulated, created_by, ...dates } = row;
  const { expires_at, created_at } = dates;
  const told = { reenrol: is_reenrol, simulated: is_simulated };
  return { id, host, ...told, created_by, expires_at, created_at };
}

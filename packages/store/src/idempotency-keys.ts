import { sql, type Kysely, type RawBuilder, type Transaction } from 'kysely';

import type { Database } from './schema.ts';

export interface IdempotencyKey {
  readonly scope: string;
  readonly key: string;
  readonly bodyHash: string;
  readonly now: Date;
  /** Older answers count as forgotten. */
  readonly expiredBefore: Date;
}

export interface StoredAnswer {
  readonly bodyHash: string;
  readonly response: unknown;
}

/**
 * Takes the key until the transaction ends and reads its answer.
 *
 * @returns `locked` while another transaction has the key; undefined when there is no answer yet.
 */
export async function lockIdempotencyKey(
  tx: Transaction<Database>,
  { scope, key, expiredBefore }: IdempotencyKey,
): Promise<StoredAnswer | 'locked' | undefined> {
  const { rows } = await sql<{ locked: boolean; body_hash: string | null; response: unknown }>`
    with attempt as materialized (
      select pg_try_advisory_xact_lock(hashtextextended(${`${scope} ${key}`}, 0)) as locked)
    select attempt.locked, k.body_hash, k.response
    from attempt left join idempotency_key k
      on k.scope = ${scope} and k.key = ${key} and k.created_at >= ${expiredBefore}
  `.execute(tx);
  const row = rows[0];
  if (row === undefined || !row.locked) return 'locked';
  if (row.body_hash === null) return undefined;
  return { bodyHash: row.body_hash, response: row.response };
}

export interface NewAnswer extends IdempotencyKey {
  readonly response: unknown;
}

/** @returns false when somebody stored an answer under the key in the meantime. */
export async function insertIdempotencyKey(
  tx: Transaction<Database>,
  answer: NewAnswer,
): Promise<boolean> {
  const { rows } = await insertAnswer(answer).execute(tx);
  return rows.length === 1;
}

/** The same as a statement, to send along with others; no row when somebody stored an answer in the meantime. */
export function insertAnswer({
  scope,
  key,
  bodyHash,
  now,
  expiredBefore,
  response,
}: NewAnswer): RawBuilder<{ key: string }> {
  return sql`
    insert into idempotency_key as kept (scope, key, status, body_hash, response, created_at)
    values (${scope}, ${key}, null, ${bodyHash}, ${JSON.stringify(response)}::jsonb, ${now})
    on conflict (scope, key) do update set body_hash = excluded.body_hash,
      response = excluded.response, created_at = excluded.created_at
    where kept.created_at < ${expiredBefore} returning key`;
}

/** @returns how many were forgotten. */
export async function deleteIdempotencyKeys(
  db: Kysely<Database>,
  { createdBefore, limit }: { readonly createdBefore: Date; readonly limit: number },
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from idempotency_key where (scope, key) in (
      select scope, key from idempotency_key where created_at < ${createdBefore}
      order by created_at limit ${limit} for update skip locked)
  `.execute(db);
  return Number(numAffectedRows ?? 0n);
}

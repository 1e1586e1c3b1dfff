/** Operations whose wish a later one has changed: they end, and say which did. */
import type { OperationResult } from '@cyborg/store/schema';
import { sql } from 'kysely';

import type { Act } from '../transaction.ts';

/** By name of backend: the operation that gave it another configuration. */
export type Overtakers = Readonly<Record<string, string>>;

export async function overtakeOperations(
  { tx }: Act,
  given: { readonly driverId: string; readonly by: string; readonly changed: readonly string[] },
): Promise<void> {
  const { driverId, by, changed } = given;
  if (changed.length === 0) return;
  const overtakers: Overtakers = Object.fromEntries(changed.map((name) => [name, by]));
  await sql`update operation
    set subject = jsonb_set(subject, '{overtaken}',
      ${JSON.stringify(overtakers)}::jsonb || coalesce(subject -> 'overtaken', '{}'))
    where kind in ('install-driver', 'update-driver') and state in ('queued', 'running', 'waiting') and id <> ${by}
      and subject ->> 'driver_id' = ${driverId} and subject -> 'backends' ?| ${changed}::text[]`.execute(
    tx,
  );
}

/** What a host had come to before stays; how it fares with the later wish is not this operation's. */
export function judgeOvertaken(
  now: OperationResult,
  given: {
    readonly backend: string;
    readonly by: string;
    readonly before: readonly OperationResult[];
  },
): OperationResult {
  const earlier = given.before.find(({ subject }) => subject === now.subject);
  if (earlier !== undefined && earlier.outcome !== 'pending') return earlier;
  const message = `Overtaken: operation ${given.by} gave backend ${given.backend} another configuration.`;
  return { ...now, outcome: 'failed', message };
}

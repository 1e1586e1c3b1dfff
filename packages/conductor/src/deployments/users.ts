/** Who uses a driver: what stands in the way of an uninstall or a downgrade. */
import { ServiceError } from '@cyborg/model/errors';
import { sql, type RawBuilder, type SqlBool } from 'kysely';

import type { Tx } from '../deps.ts';
import { mayName, type Scope } from '../scope.ts';

export interface Use {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly host: string;
  readonly host_id: string;
  readonly backend: string;
  readonly backend_id: string;
  /** Of its attachment; null: it has none any more. */
  readonly origin: 'nova' | 'cyborg' | null;
  readonly instance_id: string | null;
  readonly project_id: string | null;
  readonly attachment_id: string | null;
}

/**
 * States in which taking the driver away would take something from somebody, or leave something dirty. An orphaned one
 * has lost its driver already: it stands in the way of nothing.
 */
const usedStates = ['reserved', 'attached', 'cleaning', 'updating'] as const;

/**
 * Locks every accelerator of these backends, so that an attach under way is seen, and answers those in use.
 */
export async function lockUses(
  tx: Tx,
  { backendIds, isLocked }: { readonly backendIds: readonly string[]; readonly isLocked: boolean },
): Promise<Use[]> {
  if (isLocked) {
    await sql`select id from accelerator where backend_id = any(${backendIds}::uuid[])
      order by id for update`.execute(tx);
  }
  return readUses(tx, sql<SqlBool>`a.backend_id = any(${backendIds}::uuid[]) and ${isUsed}`);
}

/** On `accelerator a`. */
export const isUsed: RawBuilder<SqlBool> = sql`(a.state in (${sql.join(usedStates.map((state) => sql.lit(state)))}))`;

/** For a condition on `accelerator a`. */
export async function readUses(tx: Tx, where: RawBuilder<SqlBool>): Promise<Use[]> {
  const { rows } = await sql<Use>`
    select a.id, a.name, a.state, h.name as host, a.host_id, b.name as backend, a.backend_id,
      t.origin, a.instance_id, a.project_id, a.attachment_id
    from accelerator a join host h on h.id = a.host_id join backend b on b.id = a.backend_id
    left join attachment t on t.id = a.attachment_id
    where ${where}
    order by h.name, b.name, a.name`.execute(tx);
  return rows;
}

const shownMax = 5;

/** `extra.users` names instances of other projects to admins only. */
export function inUse(
  uses: readonly Omit<Use, 'origin'>[],
  {
    scope,
    verb,
    wayOut,
  }: { readonly scope: Scope; readonly verb: string; readonly wayOut: string },
): ServiceError {
  const users = uses.map((use) => {
    const isNamed = mayName(scope, use.project_id);
    return {
      accelerator_id: use.id,
      accelerator: use.name,
      state: use.state,
      host: use.host,
      backend: use.backend,
      attachment_id: isNamed ? use.attachment_id : null,
      instance_id: isNamed ? use.instance_id : null,
      project_id: isNamed ? use.project_id : null,
    };
  });
  const shown = users
    .slice(0, shownMax)
    .map((use) => `${use.accelerator} on ${use.host} (${use.state}${holderOf(use)})`);
  const more = users.length > shownMax ? ` and ${users.length - shownMax} more` : '';
  return new ServiceError(
    'in-use',
    `Cannot ${verb}: ${users.length} of its accelerators are in use: ${shown.join(', ')}${more}. ${wayOut}`,
    { extra: { users } },
  );
}

function holderOf({ instance_id }: { readonly instance_id: string | null }): string {
  return instance_id === null ? '' : ` by instance ${instance_id}`;
}

/** Goes on with a forced uninstall: a backend of which nobody has anything any more is taken from its host. */
import { sql, type RawBuilder } from 'kysely';

import type { ConductorDeps } from '../deps.ts';
import { removeOnHosts, withholdFree, type RemovalTarget } from '../deployments/removing.ts';
import { isUsed } from '../deployments/users.ts';
import type { Reconciler } from '../reconciler.ts';
import { act, type Act } from '../transaction.ts';

const emptyOnes: RawBuilder<unknown> = sql`
  select b.id as backend_id, b.name as backend, b.installation_id, b.host_id, h.name as host
  from backend b join host h on h.id = b.host_id
  where b.state = 'draining' and not exists (
    select from accelerator a where a.backend_id = b.id and ${isUsed})`;

export function uninstallDrained(deps: ConductorDeps): Reconciler {
  const most = deps.limits.workItemsPerPass;
  return {
    name: 'uninstall-drained',
    periodMs: deps.limits.idlePassMs,
    due: () => sql`exists (${emptyOnes})`,
    topics: [],
    async pass() {
      const { rows } = await sql<RemovalTarget>`${emptyOnes} order by b.id limit ${most}`.execute(
        deps.db,
      );
      if (rows.length === 0) return { found: 0, full: false };
      await act(deps, (running) => removeEmpty(running, rows));
      return { found: rows.length, full: rows.length === most };
    },
  };
}

/** Locks in the order of an uninstall, and looks again: an accelerator may have been adopted meanwhile. */
async function removeEmpty(running: Act, seen: readonly RemovalTarget[]): Promise<void> {
  const { tx } = running;
  const ids = seen.map(({ backend_id }) => backend_id);
  const installations = seen.map(({ installation_id }) => installation_id);
  await sql`select id from installation where id = any(${installations}::uuid[])
    order by id for update`.execute(tx);
  await sql`select id from backend where id = any(${ids}::uuid[]) order by id for update`.execute(
    tx,
  );
  await sql`select id from accelerator where backend_id = any(${ids}::uuid[])
    order by id for update`.execute(tx);
  const { rows } = await sql<RemovalTarget>`${emptyOnes} and b.id = any(${ids}::uuid[])
    order by h.name, b.name`.execute(tx);
  await withholdFree(running, rows);
  await removeOnHosts(running, rows);
  if (rows.length > 0) running.wakeUps.add('deployments');
}

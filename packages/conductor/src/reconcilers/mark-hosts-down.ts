import { sql } from 'kysely';

import { markHostsDown as markAll } from '../agents/lease.ts';
import type { ConductorDeps } from '../deps.ts';
import type { Reconciler } from '../reconciler.ts';

/** Tells once that a host's lease has run out. */
export function markHostsDown(deps: ConductorDeps): Reconciler {
  return {
    name: 'mark-hosts-down',
    periodMs: deps.limits.idlePassMs,
    due: (now) =>
      sql`exists (select from host where agent_instance is not null and lease_expires_at <= ${now})`,
    topics: [],
    async pass() {
      return { found: await markAll(deps), full: false };
    },
  };
}

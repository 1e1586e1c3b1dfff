import { markHostsDown as markAll } from '../agents/lease.ts';
import type { ConductorDeps } from '../deps.ts';
import type { Reconciler } from '../reconciler.ts';

const periodMs = 1000;

/** Tells once that a host's lease has run out. */
export function markHostsDown(deps: ConductorDeps): Reconciler {
  return {
    name: 'mark-hosts-down',
    periodMs,
    topics: [],
    async pass() {
      return { found: await markAll(deps), full: false };
    },
  };
}

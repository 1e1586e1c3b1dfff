/** Reads what has changed in Nova since the last time, a bounded number of pages, one process at a time. */
import type { NovaClient, NovaServer } from '@cyborg/openstack/nova';
import { claimNovaWatch, endNovaWatch, isNovaWatchDue } from '@cyborg/store/nova/servers';

import type { ConductorDeps } from '../deps.ts';
import type { Reconciler } from '../reconciler.ts';
import { claimOf } from './claim.ts';
import { novaLimits } from './limits.ts';
import { noteServers } from './note-server.ts';

export function followNovaChanges(deps: ConductorDeps, nova: NovaClient): Reconciler {
  return {
    name: 'follow-nova-changes',
    periodMs: novaLimits.pollSeconds * 1000,
    due: isNovaWatchDue,
    topics: [],
    async pass(signal) {
      const claim = claimOf(deps, 1);
      const watch = await claimNovaWatch(deps.db, claim);
      if (watch === undefined) return { found: 0, full: false };
      let readUntil: Date | undefined;
      let found = 0;
      try {
        found = await read(deps, nova, { since: sinceOf(watch.read_until, claim.now), signal });
        readUntil = claim.now;
      } catch (error) {
        deps.log.warn({ err: error }, 'Nova did not say what has changed');
      } finally {
        const next = new Date(deps.clock.now().getTime() + novaLimits.pollSeconds * 1000);
        await endNovaWatch(deps.db, { readUntil, next });
      }
      return { found, full: false };
    },
  };
}

/** With an overlap: the same change twice is nothing new. */
function sinceOf(readUntil: Date | null, now: Date): Date {
  const earliest = now.getTime() - novaLimits.lookBackSecondsMax * 1000;
  const overlapped = (readUntil ?? now).getTime() - novaLimits.overlapSeconds * 1000;
  return new Date(Math.max(earliest, overlapped));
}

async function read(
  deps: ConductorDeps,
  nova: NovaClient,
  { since, signal }: { readonly since: Date; readonly signal: AbortSignal },
): Promise<number> {
  let marker: string | undefined;
  let found = 0;
  for (let page = 0; page < novaLimits.changePagesMax; page++) {
    const changed = { since, limit: novaLimits.changesPerPage, marker };
    const servers: readonly NovaServer[] = await nova.listChanged(changed, {
      signal,
      timeoutMs: novaLimits.lookUpMs,
    });
    await noteServers(
      deps,
      servers.map((server) => ({ instanceId: server.id, server })),
    );
    found += servers.length;
    marker = servers.at(-1)?.id;
    if (marker === undefined) break;
  }
  return found;
}

/** Asks Nova about each instance that is its server: first, when it is missing from its host, and now and then. */
import type { NovaClient } from '@cyborg/openstack/nova';
import { backoffMs } from '@cyborg/service/backoff';
import { claimServers, hasDueServers, putOffServer } from '@cyborg/store/nova/servers';

import type { ConductorDeps } from '../deps.ts';
import type { Reconciler } from '../reconciler.ts';
import { claimOf } from './claim.ts';
import { novaLimits } from './limits.ts';
import { noteServers, type Heard } from './note-server.ts';

export function lookAtServers(deps: ConductorDeps, nova: NovaClient): Reconciler {
  return {
    name: 'look-at-servers',
    periodMs: deps.limits.idlePassMs,
    due: hasDueServers,
    topics: [],
    async pass(signal) {
      const rows = await claimServers(deps.db, claimOf(deps, novaLimits.serversPerPass));
      const looks = await Promise.all(rows.map((row) => look(deps, nova, { ...row, signal })));
      const heard = looks.filter((one) => one !== undefined);
      await noteServers(deps, heard);
      // During an outage each failure pauses its own row; the next ones are left for the next pass.
      const full = heard.length > 0 && rows.length === novaLimits.serversPerPass;
      return { found: rows.length, full, notes: { failed: rows.length - heard.length } };
    },
  };
}

interface Look {
  readonly instance_id: string;
  readonly attempts: number;
  readonly signal: AbortSignal;
}

/** An outage, or a token that is not good any more, says nothing of the server. */
async function look(
  deps: ConductorDeps,
  nova: NovaClient,
  { instance_id: instanceId, attempts, signal }: Look,
): Promise<Heard | undefined> {
  try {
    const server = await nova.getServer(instanceId, { signal, timeoutMs: novaLimits.lookUpMs });
    return { instanceId, server };
  } catch (error) {
    deps.log.debug({ err: error, instance_id: instanceId }, 'Nova did not say what a server is');
    const { lookAgainFirstMs: firstMs, lookAgainMaxMs: maxMs } = novaLimits;
    const pauseMs = firstMs + backoffMs(attempts + 1, { firstMs, maxMs }, deps.rng);
    const nextAttemptAt = new Date(deps.clock.now().getTime() + pauseMs);
    await putOffServer(deps.db, { instanceId, nextAttemptAt });
    return undefined;
  }
}

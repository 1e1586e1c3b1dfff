/** How a restart that was asked for fares on its host. */
import type { InstallationState } from '@cyborg/model/installation-lifecycle';
import type { OperationResult } from '@cyborg/store/schema';
import { sql } from 'kysely';

import type { Act } from '../transaction.ts';
import { judgeDiscovery, type DiscoverySubject } from './judge.ts';

export interface RestartSubject {
  readonly targets: readonly (DiscoverySubject['targets'][number] & { readonly restart: number })[];
}

/** Done when the driver was restarted, and the backend has listed its hardware since. */
export async function judgeRestart(
  act: Act,
  { targets }: RestartSubject,
): Promise<OperationResult[]> {
  const { rows } = await sql<Row>`
    select b.id, i.restart_done as done, i.state, i.reason, coalesce(h.lease_expires_at > ${act.now}, false) as up
    from backend b join installation i on i.id = b.installation_id join host h on h.id = b.host_id
    where b.id = any(${targets.map(({ backend_id }) => backend_id)}::uuid[])`.execute(act.tx);
  const looks = await judgeDiscovery(act, { targets });
  return looks.map((look, index) => {
    const target = targets[index];
    const row = rows.find(({ id }) => id === target?.backend_id);
    return row === undefined || target === undefined
      ? look
      : { ...look, ...judgeProcess(row, target.restart) };
  });
}

interface Row {
  readonly id: string;
  readonly done: number;
  readonly state: InstallationState;
  readonly reason: string | null;
  readonly up: boolean;
}

/** Nothing when it is the backend's word that counts. */
function judgeProcess(
  { done, state, reason, up }: Row,
  restart: number,
): Pick<OperationResult, 'outcome' | 'message'> | undefined {
  if (done < restart) {
    const message = up ? 'the driver is being restarted' : 'waiting for the host: it is down';
    return { outcome: 'pending', message };
  }
  if (state !== 'failed') return undefined;
  return { outcome: 'failed', message: reason ?? 'the driver does not start' };
}

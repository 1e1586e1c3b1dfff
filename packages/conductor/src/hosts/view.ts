import type { HostCondition, HostPlug } from '@cyborg/store/schema';

import type { Db } from '../deps.ts';
import type { Scope } from '../scope.ts';
import { countAccelerators, toCountView, type Count, type CountView } from '../backends/counts.ts';
import type { HostRow } from './find-host.ts';

export interface HostView extends CountView {
  readonly id: string;
  readonly name: string;
  readonly node_name: string;
  readonly service_host: string | null;
  readonly status: 'enabled' | 'disabled';
  readonly status_reason: string | null;
  readonly state: 'up' | 'down';
  readonly simulated: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly conditions: readonly HostCondition[];
  readonly agent_version: string | null;
  readonly hypervisors: readonly HostPlug[];
  readonly facts: Readonly<Record<string, string>>;
  readonly created_at: Date;
  readonly updated_at: Date | null;
}

/** As the caller sees it now. */
export async function viewHost(
  { db, scope, now }: { readonly db: Db; readonly scope: Scope; readonly now: Date },
  row: HostRow,
): Promise<HostView> {
  const countOf = await countAccelerators(db, scope, { by: 'host_id', ids: [row.id] });
  return toHostView(row, now, countOf(row.id));
}

/** `up` while its agent's lease runs. */
export function isUp(host: { readonly lease_expires_at: Date | null }, now: Date): boolean {
  return host.lease_expires_at !== null && host.lease_expires_at > now;
}

/** `count`: of the accelerators that the caller sees there. */
export function toHostView(row: HostRow, now: Date, count: Count): HostView {
  return {
    id: row.id,
    name: row.name,
    node_name: row.node_name,
    service_host: row.service_host,
    status: row.status,
    status_reason: row.status_reason,
    // A revoked agent may do nothing more, however long its lease runs.
    state: row.revoked_at === null && isUp(row, now) ? 'up' : 'down',
    simulated: row.simulated,
    labels: row.labels,
    conditions: row.conditions,
    agent_version: row.agent_version,
    hypervisors: row.plugs,
    facts: row.facts,
    ...toCountView(count),
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

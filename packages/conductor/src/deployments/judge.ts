/** How far hosts have come with an operation on drivers: one result for each backend of each host. */
import type { InstallationState } from '@cyborg/model/installation-lifecycle';
import type { BackendConfig, BackendState } from '@cyborg/store/schema-deployments';
import type { OperationResult } from '@cyborg/store/schema';
import { isDeepStrictEqual } from 'node:util';

import { sql } from 'kysely';

import { isUp } from '../hosts/view.ts';
import type { Act } from '../transaction.ts';
import type { DeploymentRow } from './context.ts';
import { isStaged } from './roll-out-plan.ts';
import { isLeaving } from './removing.ts';
import { selects } from './selectors.ts';
import { judgeOvertaken, type Overtakers } from './overtaken.ts';
import { isUsed } from './users.ts';

export interface InstallSubject {
  readonly driver_id: string;
  readonly version: string;
  readonly backends: readonly string[];
  /** Hosts that the operation's owner may see; absent = all of them. */
  readonly host_ids?: readonly string[];
  readonly overtaken?: Overtakers;
}

interface Progress {
  readonly host_id: string;
  readonly name: string;
  readonly kind: string;
  readonly config: BackendConfig;
  readonly state: BackendState;
  readonly reason: string | null;
  readonly generation: number;
  readonly observed_generation: number;
  readonly refused_generation: number | null;
  readonly installation_state: InstallationState;
  readonly installation_reason: string | null;
  readonly wanted_version: string;
  readonly running_version: string | null;
  readonly failed_version: string | null;
  readonly failed_reason: string | null;
}

type Verdict = Pick<OperationResult, 'outcome' | 'message'>;

const succeeded: Verdict = { outcome: 'succeeded', message: null };
const pending = (message: string | null): Verdict => ({ outcome: 'pending', message });
const failed = (message: string): Verdict => ({ outcome: 'failed', message });

/** Enabled hosts that the named backends select, as the selectors are now; `before`: what was judged last. */
export async function judgeInstall(
  { tx, now }: Act,
  subject: InstallSubject,
  before: readonly OperationResult[] = [],
): Promise<OperationResult[]> {
  const deployment = await tx
    .selectFrom('deployment')
    .selectAll()
    .where('driver_id', '=', subject.driver_id)
    .executeTakeFirst();
  if (deployment === undefined || deployment.version !== subject.version) {
    const state = deployment === undefined ? 'uninstalled' : `at version ${deployment.version}`;
    const message = `Overtaken: driver ${subject.driver_id} is ${state} now.`;
    return [{ host: null, subject: subject.driver_id, ...failed(message) }];
  }
  const wanted = await tx
    .selectFrom('deployment_backend')
    .select(['name', 'kind', 'config', 'selector'])
    .where('deployment_id', '=', deployment.id)
    .where('name', '=', sql<string>`any(${subject.backends}::text[])`)
    .orderBy('name')
    .execute();
  const hosts = await tx
    .selectFrom('host')
    .select(['id', 'name', 'labels', 'lease_expires_at'])
    .where('status', '=', 'enabled')
    .where('revoked_at', 'is', null)
    .orderBy('name')
    .execute();
  const progress = await readProgress(tx, subject.driver_id);
  const shown = hosts.filter(({ id }) => subject.host_ids?.includes(id) ?? true);
  const results = shown.flatMap((host) =>
    wanted
      .filter(({ selector }) => selects(selector, host))
      .map(({ name, kind, config }) => {
        const row = progress.get(`${host.id} ${name}`);
        const wish = { version: deployment.version, kind, config };
        const verdict = judge(row, { ...wish, isUp: isUp(host, now) });
        const isBegun = row !== undefined && (isRolledOut(row, wish) || wentBack(row, wish));
        const by = subject.overtaken?.[name];
        const overtaken = by === undefined ? undefined : { backend: name, by, before };
        return { host: host.name, subject: `${host.name}@${name}`, ...verdict, isBegun, overtaken };
      }),
  );
  const own = results.filter(({ overtaken }) => overtaken === undefined);
  return results.map(({ isBegun, overtaken, ...result }) => {
    if (overtaken !== undefined) return judgeOvertaken(result, overtaken);
    return isBegun || result.outcome !== 'pending'
      ? result
      : { ...result, ...notBegun(deployment, own) };
  });
}

/** Why a host that could be begun is not. */
function notBegun(
  { rollout, rollout_paused: isPaused }: DeploymentRow,
  results: readonly (OperationResult & { readonly isBegun: boolean })[],
): Partial<Verdict> {
  const hosts = results.filter(({ outcome }) => outcome === 'failed').map(({ host }) => host);
  const stop = [...new Set(hosts)].at(rollout.max_failures ?? 0);
  if (stop !== undefined && isStaged(rollout)) {
    return failed(`not begun: the roll-out stopped when host ${stop} failed`);
  }
  return isPaused ? pending('the roll-out is paused') : {};
}

async function readProgress(tx: Act['tx'], driverId: string): Promise<Map<string, Progress>> {
  const { rows } = await sql<Progress>`
    select b.host_id, b.name, b.kind, b.config, b.state, b.reason, b.generation, b.observed_generation, b.refused_generation,
      i.state as installation_state, i.reason as installation_reason, i.wanted_version, i.running_version,
      i.failed_version, i.failed_reason
    from backend b join installation i on i.id = b.installation_id
    where b.driver_id = ${driverId}`.execute(tx);
  return new Map(rows.map((row) => [`${row.host_id} ${row.name}`, row]));
}

interface Wish {
  readonly version: string;
  readonly kind: string;
  readonly config: BackendConfig;
}

/** The host is told of it: what it says from now on is about this wish. */
function isRolledOut(row: Progress, { version, kind, config }: Wish): boolean {
  const isSame = row.kind === kind && isDeepStrictEqual(row.config, config);
  return row.wanted_version === version && isSame;
}

/** It did not come up there, and the host stays with the version before. */
function wentBack(row: Progress, { version }: Wish): boolean {
  return row.failed_version === version;
}

function judge(row: Progress | undefined, wanted: Wish & { readonly isUp: boolean }): Verdict {
  const waiting = pending(wanted.isUp ? null : 'waiting for the host: it is down');
  if (row !== undefined && wentBack(row, wanted)) {
    const why = row.failed_reason ?? 'it did not come up';
    return failed(`went back to version ${row.running_version ?? row.wanted_version}: ${why}`);
  }
  if (row === undefined || !isRolledOut(row, wanted)) return waiting;
  if (row.installation_state === 'failed' || row.installation_state === 'blocked') {
    return failed(row.installation_reason ?? `the installation is ${row.installation_state}`);
  }
  const isCurrent =
    row.installation_state === 'ready' &&
    row.running_version === wanted.version &&
    row.observed_generation >= row.generation;
  if (!isCurrent) return waiting;
  if (row.state === 'ready') return succeeded;
  const isRefused = row.refused_generation === row.generation;
  if (row.state === 'failed' || row.state === 'blocked' || isRefused) {
    return failed(row.reason ?? `the backend is ${row.state}`);
  }
  return pending(row.reason);
}

export interface UninstallTarget {
  readonly host: string;
  readonly backend: string;
  readonly backend_id: string;
}

export interface UninstallSubject {
  readonly driver_id: string;
  readonly targets: readonly UninstallTarget[];
  /** Installations that go altogether, with the names of their hosts. */
  readonly installations: readonly { readonly id: string; readonly host: string }[];
}

/** On `backend b`: what it waits for. */
const stillUsed = sql<string>`(select 'waits until it is detached and clean: ' || string_agg(
    concat(a.name, ' (', replace(a.state, '_', ' '), coalesce(' by instance ' || a.instance_id, ''), ')'), ', ' order by a.name)
  from accelerator a where a.backend_id = b.id and ${isUsed})`;

export async function judgeUninstall(
  { tx, now }: Act,
  { driver_id, targets, installations }: UninstallSubject,
): Promise<OperationResult[]> {
  const backendIds = targets.map(({ backend_id }) => backend_id);
  const { rows: left } = await sql<{ id: string; reason: string | null; up: boolean }>`
    select b.id, coalesce(h.lease_expires_at > ${now}, false) as up,
      case when b.state = 'draining' then ${stillUsed} else b.reason end as reason
    from backend b join host h on h.id = b.host_id
    where b.id = any(${backendIds}::uuid[]) and (b.state = 'draining'
      or b.state = 'removing' and b.observed_generation < b.generation)`.execute(tx);
  const { rows: running } = await sql<{ id: string; reason: string | null; up: boolean }>`
    select i.id, i.reason, coalesce(h.lease_expires_at > ${now}, false) as up
    from installation i join host h on h.id = i.host_id
    where i.id = any(${installations.map(({ id }) => id)}::uuid[]) and (i.state = 'removing' or exists (
      select from backend b where b.installation_id = i.id and b.state = 'draining'))`.execute(tx);
  const verdictOf = (row: { reason: string | null; up: boolean } | undefined): Verdict => {
    if (row === undefined) return succeeded;
    return pending(row.up ? row.reason : 'waiting for the host: it is down');
  };
  return [
    ...targets.map(({ host, backend, backend_id }) => ({
      host,
      subject: `${host}@${backend}`,
      ...verdictOf(left.find(({ id }) => id === backend_id)),
    })),
    ...installations.map(({ id, host }) => ({
      host,
      subject: `${driver_id} on ${host}`,
      ...verdictOf(running.find((row) => row.id === id)),
    })),
  ];
}

export interface DiscoverySubject {
  readonly targets: readonly (UninstallTarget & { readonly discovery: number })[];
}

export async function judgeDiscovery(
  { tx, now }: Act,
  { targets }: DiscoverySubject,
): Promise<OperationResult[]> {
  const { rows } = await sql<{
    id: string;
    state: BackendState;
    reason: string | null;
    done: number;
    up: boolean;
  }>`
    select b.id, b.state, b.reason, b.discovery_done as done,
      coalesce(h.lease_expires_at > ${now}, false) as up
    from backend b join host h on h.id = b.host_id
    where b.id = any(${targets.map(({ backend_id }) => backend_id)}::uuid[])`.execute(tx);
  return targets.map(({ host, backend, backend_id, discovery }) => {
    const row = rows.find(({ id }) => id === backend_id);
    return { host, subject: `${host}@${backend}`, ...judgeLook(row, discovery) };
  });
}

function judgeLook(
  row: { state: BackendState; reason: string | null; done: number; up: boolean } | undefined,
  discovery: number,
): Verdict {
  if (row === undefined || isLeaving(row.state)) return failed('the backend was uninstalled');
  if (row.done < discovery) {
    // A failed backend is tried again by the request itself; a blocked one waits for a person.
    if (row.up && row.state === 'blocked') return failed(row.reason ?? 'the backend is blocked');
    return pending(row.up ? row.reason : 'waiting for the host: it is down');
  }
  return row.state === 'ready' ? succeeded : failed(row.reason ?? `the backend is ${row.state}`);
}

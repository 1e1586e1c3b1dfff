/** Makes installations and backends of the hosts what deployments want, a batch at a time. */
import {
  installationLifecycle,
  type InstallationState,
} from '@cyborg/model/installation-lifecycle';
import { nextState, statesAllowing } from '@cyborg/model/lifecycle';
import { traced } from '@cyborg/service/tracing';
import { toJson } from '@cyborg/store/json';
import { sql, type RawBuilder } from 'kysely';

import type { ConductorDeps } from '../deps.ts';
import type { PassReport, Reconciler } from '../reconciler.ts';
import { isUp } from '../hosts/view.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';
import { findDriverTrace } from '../traces.ts';
import { conductorSpans } from '../spans.ts';
import type { DeploymentRow } from './context.ts';
import { tryRefusedAgain } from './refused-configs.ts';
import { planRollOut, type HostPlan, type RollOutPlan } from './roll-out-plan.ts';

/**
 * What the roll-out looks at, as a text. Reports of hosts leave `updated_at` of a backend alone, so its generations and
 * those on their way out are in it.
 */
const facts = (
  now: Date,
): RawBuilder<unknown> => sql`case when exists (select from deployment) then concat_ws(' ',
  (select concat_ws(' ', count(*), sum(generation), max(updated_at), max(created_at),
    count(*) filter (where rollout_resume_at <= ${now})) from deployment),
  (select concat_ws(' ', count(*), max(updated_at), max(created_at)) from deployment_backend),
  (select concat_ws(' ', count(*), max(updated_at), max(created_at),
    count(*) filter (where lease_expires_at > ${now})) from host
    where status = 'enabled' and revoked_at is null),
  (select concat_ws(' ', count(*), sum(generation), max(updated_at), max(created_at)) from installation),
  (select concat_ws(' ', count(*), sum(generation), sum(observed_generation), sum(refused_generation), max(updated_at), max(created_at),
    count(*) filter (where state = 'removing')) from backend)) end`;

export function rollOut(deps: ConductorDeps): Reconciler {
  return {
    name: 'roll-out',
    periodMs: deps.limits.idlePassMs,
    topics: ['deployments'],
    due: facts,
    async pass(signal): Promise<PassReport> {
      const ids = await deps.db.selectFrom('deployment').select('id').orderBy('id').execute();
      let changed = 0;
      let waiting = 0;
      for (const { id } of ids) {
        if (signal.aborted) break;
        const plan = await rollOutOne(deps, id);
        changed += plan?.hosts.length ?? 0;
        waiting += plan?.waiting ?? 0;
      }
      return { found: ids.length, full: false, notes: { changed, waiting } };
    },
  };
}

/** One transaction; a deployment that somebody is changing is left for the next pass. */
async function rollOutOne(deps: ConductorDeps, id: string): Promise<RollOutPlan | undefined> {
  const now = deps.clock.now();
  const idle = planRollOut(await readFacts(deps.db, await readDeployment(deps.db, id), now));
  if (idle.hosts.length === 0 && idle.resumeAt === undefined) return idle;
  return act(deps, async (running) => {
    const deployment = await readDeployment(running.tx, id, true);
    if (deployment === undefined) return undefined;
    const plan = planRollOut(await readFacts(running.tx, deployment, running.now));
    await writePause(running, deployment, plan);
    const parent = await findDriverTrace(running.tx, deployment.driver_id);
    for (const host of plan.hosts) {
      await traced(conductorSpans.rollOut, { parent }, () =>
        changeHost(deps, running, { deployment, host }),
      );
    }
    return plan;
  });
}

/** Between two batches; a server that dies meanwhile is not asked when it was to end. */
async function writePause(
  { tx }: Act,
  { id }: DeploymentRow,
  { resumeAt }: RollOutPlan,
): Promise<void> {
  if (resumeAt === undefined) return;
  await tx
    .updateTable('deployment')
    .set({ rollout_resume_at: resumeAt })
    .where('id', '=', id)
    .execute();
}

async function readDeployment(
  db: Act['tx'] | ConductorDeps['db'],
  id: string,
  isLocked = false,
): Promise<DeploymentRow | undefined> {
  const query = db.selectFrom('deployment').selectAll().where('id', '=', id);
  return (isLocked ? query.forUpdate().skipLocked() : query).executeTakeFirst();
}

async function readFacts(
  db: Act['tx'] | ConductorDeps['db'],
  deployment: DeploymentRow | undefined,
  now: Date,
): Promise<Parameters<typeof planRollOut>[0]> {
  const driverId = deployment?.driver_id ?? '';
  const hosts = await db
    .selectFrom('host')
    .select(['id', 'name', 'labels', 'lease_expires_at'])
    .where('status', '=', 'enabled')
    .where('revoked_at', 'is', null)
    .orderBy('name')
    .execute();
  return {
    version: deployment?.version ?? '',
    rollout: deployment?.rollout ?? {},
    isPaused: deployment?.rollout_paused === true,
    resumeAt: deployment?.rollout_resume_at ?? null,
    now,
    wanted: await db
      .selectFrom('deployment_backend')
      .select(['name', 'kind', 'config', 'selector'])
      .where('deployment_id', '=', deployment?.id ?? null)
      .orderBy('name')
      .execute(),
    hosts: hosts.map((host) => ({ ...host, isUp: isUp(host, now) })),
    installations: await db
      .selectFrom('installation')
      .select(['id', 'host_id', 'wanted_version', 'failed_version', 'state'])
      .orderBy('id')
      .where('driver_id', '=', driverId)
      .execute(),
    backends: await db
      .selectFrom('backend')
      .select(['id', 'host_id', 'name', 'kind', 'config', 'state'])
      .select(['generation', 'observed_generation', 'refused_generation'])
      .where('driver_id', '=', driverId)
      .execute(),
  };
}

interface Change {
  readonly deployment: DeploymentRow;
  readonly host: HostPlan;
}

async function changeHost(deps: ConductorDeps, running: Act, change: Change): Promise<void> {
  const { host } = change;
  const events: NewEvent[] = [];
  const installationId = await changeInstallation(deps, running, { ...change, events });
  await addBackends(deps, running, { ...change, installationId, events });
  for (const { id, wanted } of host.changedBackends) {
    await running.tx
      .updateTable('backend')
      .set((eb) => ({
        kind: wanted.kind,
        config: toJson(wanted.config),
        state: sql`case when state in ('ready', 'stale') then state else 'pending' end`,
        reason: null,
        generation: eb('generation', '+', 1),
        updated_at: running.now,
      }))
      .where('id', '=', id)
      .execute();
    events.push(hostEvent(host, 'backend.configured', { kind: 'backend', id, name: wanted.name }));
  }
  await recordEvents(running, events);
  running.wakeUps.add(`host:${host.hostId}`);
  running.wakeUps.add('deployments');
}

function hostEvent(
  host: HostPlan,
  kind: NewEvent['kind'],
  subject: { readonly kind: string; readonly id: string; readonly [key: string]: unknown },
): NewEvent {
  const { kind: subjectKind, id: subjectId, ...data } = subject;
  return { kind, subjectKind, subjectId, hostId: host.hostId, data };
}

async function changeInstallation(
  deps: ConductorDeps,
  running: Act,
  { deployment, host, events }: Change & { readonly events: NewEvent[] },
): Promise<string> {
  const { tx, now } = running;
  const id = host.found?.id ?? deps.rng.uuid();
  if (host.installation === undefined) return id;
  const state = stateOf(host);
  const version = deployment.version;
  if (host.found === undefined) {
    await tx
      .insertInto('installation')
      .values({
        id,
        host_id: host.hostId,
        driver_id: deployment.driver_id,
        wanted_version: version,
        state,
        created_at: now,
      })
      .execute();
  } else {
    await tx
      .updateTable('installation')
      .set((eb) => ({
        wanted_version: version,
        state,
        reason: null,
        generation: eb('generation', '+', 1),
        updated_at: now,
      }))
      .where('id', '=', id)
      .execute();
    await tryRefusedAgain(running, { installationId: id });
  }
  const subject = { kind: 'installation', id, driver_id: deployment.driver_id, version };
  events.push(hostEvent(host, `installation.${state}`, subject));
  return id;
}

/** A ready one is updated, a failed or removed one fetched anew; one under way just gets another aim. */
function stateOf({ found }: HostPlan): InstallationState {
  if (found === undefined) return 'pending';
  for (const event of ['update', 'fetch'] as const) {
    if (statesAllowing(installationLifecycle, event).includes(found.state)) {
      return nextState(installationLifecycle, found.state, event);
    }
  }
  return found.state;
}

/** A name that another driver's kept backend still has on the host is left to the next pass. */
async function addBackends(
  deps: ConductorDeps,
  { tx, now }: Act,
  given: Change & { readonly installationId: string; readonly events: NewEvent[] },
): Promise<void> {
  const { deployment, host, installationId, events } = given;
  if (host.addedBackends.length === 0) return;
  const rows = await tx
    .insertInto('backend')
    .values(
      host.addedBackends.map(({ name, kind, config }) => ({
        id: deps.rng.uuid(),
        host_id: host.hostId,
        installation_id: installationId,
        name,
        driver_id: deployment.driver_id,
        kind,
        config: toJson(config),
        state: 'pending' as const,
        created_at: now,
      })),
    )
    .onConflict((conflict) => conflict.columns(['host_id', 'name']).doNothing())
    .returning(['id', 'name'])
    .execute();
  for (const { id, name } of rows) {
    events.push(hostEvent(host, 'backend.added', { kind: 'backend', id, name }));
  }
}

import {
  countReleases,
  hasVanished,
  listVanished,
  lockConditions,
  lockVanished,
  writeConditions,
  type HostConditions,
  type VanishedRow,
} from '@cyborg/store/vanished';

import type { ConductorDeps } from '../deps.ts';
import { addOperation, attachmentOf, commitDraft, openDraft, type Draft } from '../orders/draft.ts';
import { newOperation } from '../orders/new-operation.ts';
import { take } from '../orders/taking.ts';
import type { PassReport, Reconciler } from '../reconciler.ts';
import { recordEvents } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';
import { planReleases, type ReleasePlan } from './release-limit.ts';

/** Who asks for these detaches. */
export const systemUserId = 'system:release-vanished';
const conditionKind = 'release-limit';
const vanishedPerPass = 1000;

/** Takes back what vanished instances hold, little at a time; whether one has vanished is decided by its listings. */
export function releaseVanished(deps: ConductorDeps): Reconciler {
  return {
    name: 'release-vanished',
    periodMs: deps.limits.idlePassMs,
    due: () => hasVanished(conditionKind, usesNova(deps)),
    topics: [],
    pass: () => act(deps, (current) => release(current, deps)),
  };
}

function usesNova({ openstack }: ConductorDeps): boolean {
  return openstack?.nova !== undefined;
}

async function release(current: Act, deps: ConductorDeps): Promise<PassReport> {
  const { tx, now } = current;
  if (!(await lockVanished(tx))) return { found: 0, full: false };
  const vanished = await listVanished(tx, {
    limit: vanishedPerPass,
    usesNova: usesNova(deps),
  });
  const hosts = await lockConditions(tx, {
    kind: conditionKind,
    hostIds: [...new Set(vanished.map((row) => row.host_id))],
  });
  if (hosts.length === 0) return { found: 0, full: false };
  const since = new Date(now.getTime() - deps.limits.releaseWindowSeconds * 1000);
  // Somebody deleted these in Nova, one by one: an order, and no answer that could be a mistake about many.
  const deleted = vanished.filter((row) => row.is_deleted);
  const counts = await countReleases(tx, { userId: systemUserId, since });
  const plan = planReleases(
    {
      candidates: vanished.filter((row) => !row.is_deleted),
      counts: new Map(counts.map((count) => [count.host_id, count])),
      stopped: new Set(hosts.filter(hasStopped).map((host) => host.id)),
    },
    deps.limits,
  );
  const released = [...deleted, ...plan.release];
  await takeBack(current, deps, released);
  await keepConditions(current, { hosts, left: without(vanished, released), plan });
  const notes = { released: released.length, stoppedHosts: plan.stopped.length };
  return { found: vanished.length, full: false, notes };
}

function without(all: readonly VanishedRow[], some: readonly VanishedRow[]): VanishedRow[] {
  const taken = new Set(some);
  return all.filter((row) => !taken.has(row));
}

async function takeBack(
  current: Act,
  deps: ConductorDeps,
  rows: readonly VanishedRow[],
): Promise<void> {
  if (rows.length === 0) return;
  const draft = await openDraft(current, {
    ids: rows.map((row) => row.accelerator_id),
    ledger: deps.ledger,
    userId: systemUserId,
  });
  const still = rows.filter((row) => {
    const attachment = attachmentOf(draft, row.accelerator_id);
    return attachment?.id === row.attachment_id && attachment.state !== 'detaching';
  });
  for (const own of Map.groupBy(still, (row) => row.instance_id).values()) {
    detachVanished(draft, deps, own);
  }
  await commitDraft(draft);
}

const reasons = {
  vanished: 'The instance has vanished from its hypervisor.',
  deleted: 'The server was deleted in Nova.',
} as const;

function causeOf({ is_deleted: isDeleted }: VanishedRow): keyof typeof reasons {
  return isDeleted ? 'deleted' : 'vanished';
}

function detachVanished(draft: Draft, deps: ConductorDeps, rows: readonly VanishedRow[]): void {
  const [first] = rows;
  if (first === undefined) return;
  const operation = newOperation(draft.act, {
    id: deps.rng.uuid(),
    kind: 'detach-instance',
    subject: {
      instance_id: first.instance_id,
      attachment_ids: rows.map((row) => row.attachment_id),
      accelerator_ids: rows.map((row) => row.accelerator_id),
      cause: causeOf(first),
    },
    host: { id: first.host_id, name: first.host },
    acceleratorIds: rows.map((row) => row.accelerator_id),
    userId: systemUserId,
    projectId: first.project_id,
    deadlineSeconds: deps.limits.detachDeadlineSeconds,
  });
  addOperation(draft, operation);
  for (const { accelerator_id: id } of rows) {
    const accelerator = draft.accelerators.get(id);
    if (accelerator === undefined) continue;
    take(draft, accelerator, {
      operationId: operation.id,
      reason: reasons[causeOf(first)],
      told: { data: { cause: causeOf(first) } },
    });
  }
}

interface Findings {
  readonly hosts: readonly HostConditions[];
  /** Of the vanished: what is not released now. */
  readonly left: readonly VanishedRow[];
  readonly plan: ReleasePlan<VanishedRow>;
}

/** A stopped host says so until nothing of it is missing any more: detached by a person, or seen again. */
async function keepConditions(
  current: Act,
  { hosts, left: allLeft, plan }: Findings,
): Promise<void> {
  for (const host of hosts) {
    const left = allLeft.filter((row) => row.host_id === host.id);
    if (plan.stopped.includes(host.id)) await stop(current, host, left);
    else if (hasStopped(host) && left.length === 0) await resume(current, host);
  }
}

async function stop(
  current: Act,
  host: HostConditions,
  left: readonly VanishedRow[],
): Promise<void> {
  const message = `${left.length} attachments belong to instances that host ${host.name} seems to have lost at once: nothing more is released by itself. Look at the host; detach what is really gone with detach-instance.`;
  const others = host.conditions.filter((condition) => condition.kind !== conditionKind);
  await writeConditions(current.tx, host.id, [
    ...others,
    { kind: conditionKind, message, blocks_attaching: false },
  ]);
  await recordEvents(current, [
    {
      kind: 'release.limit-reached',
      subjectKind: 'host',
      subjectId: host.id,
      hostId: host.id,
      userId: systemUserId,
      data: { message, attachment_ids: left.map((row) => row.attachment_id) },
    },
  ]);
}

async function resume(current: Act, host: HostConditions): Promise<void> {
  const others = host.conditions.filter((condition) => condition.kind !== conditionKind);
  await writeConditions(current.tx, host.id, others);
  await recordEvents(current, [
    {
      kind: 'release.limit-lifted',
      subjectKind: 'host',
      subjectId: host.id,
      hostId: host.id,
      userId: systemUserId,
    },
  ]);
}

function hasStopped({ conditions }: HostConditions): boolean {
  return conditions.some(({ kind }) => kind === conditionKind);
}

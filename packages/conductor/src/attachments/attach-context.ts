/** Where an attach goes: the instance as the caller sees it, its host, its project's quota. */
import { isAdmin, type Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { isUuid } from '@cyborg/model/ids';
import { nearest, nearestHint } from '@cyborg/model/nearest';
import {
  listInstanceNames,
  readAttachContext,
  type AttachContextRow,
} from '@cyborg/store/attach-context';

import { sql, type SqlBool } from 'kysely';

import type { Db } from '../deps.ts';
import { checkServer } from '../nova/check-server.ts';
import { instancesInScope, mayName, scopeOf, type Scope } from '../scope.ts';
import type { FitContext } from './fitting.ts';

export interface AttachContext extends FitContext {
  readonly instance: AttachContextRow;
  /** Whose things the caller sees. */
  readonly scope: Scope;
}

const attachableStates = ['ACTIVE', 'PAUSED'];

export interface ReadInstance {
  /** Id or unique name. */
  readonly instance: string;
  readonly lock: boolean;
  /** Nova's word counts, where there is one. */
  readonly usesNova?: boolean;
  /** Nova has shown it to the caller. */
  readonly isShown?: boolean;
}

/**
 * The instance by id or unique name, whatever its state.
 *
 * @throws ServiceError `instance-not-found`, also when the caller may not see it; `invalid-input` when several instances
 *   have the name.
 */
export async function readInstance(
  db: Db,
  caller: Caller,
  { instance, lock, usesNova = false, isShown = false }: ReadInstance,
): Promise<AttachContext> {
  const scope = scopeOf(caller);
  const visible = isShown ? sql<SqlBool>`true` : instancesInScope(scope);
  const isId = isUuid(instance);
  const rows = await readAttachContext(db, {
    instance,
    isId,
    visible,
    projectId: caller.projectId,
    lock,
    usesNova,
  });
  const [row, other] = rows;
  if (row === undefined) throw await notFound(db, caller, instance);
  if (other !== undefined) {
    throw new ServiceError(
      'invalid-input',
      `instance_id: several instances are called "${instance}": use the id (${row.id}, ${other.id}, …).`,
    );
  }
  return {
    instance: row,
    scope,
    projectId: row.project_id ?? caller.projectId,
    instanceId: row.id,
    hostId: row.host_id,
    host: row.host,
    hypervisor: row.hypervisor,
    plugs: row.plugs,
    mayName: (projectId) => mayName(scope, projectId),
  };
}

/** @throws ServiceError `instance-not-ready` or `host-not-ready`, saying what keeps it. */
export function checkReady({ instance, scope }: AttachContext, now: Date): void {
  checkServer(instance, { isAdmin: scope.kind === 'all' });
  if (!instance.is_present || instance.is_vanished) {
    throw new ServiceError(
      'instance-not-ready',
      `Instance ${instance.name} is not there: its hypervisor on host ${instance.host} does not list it.`,
    );
  }
  if (!attachableStates.includes(instance.state)) {
    throw new ServiceError(
      'instance-not-ready',
      `Instance ${instance.name} is ${instance.state}; an accelerator can be attached while it is ACTIVE or PAUSED.`,
    );
  }
  const why = whyHostNotReady(instance, now);
  if (why !== undefined) throw new ServiceError('host-not-ready', `Host ${instance.host} ${why}.`);
}

function whyHostNotReady(row: AttachContextRow, now: Date): string | undefined {
  if (row.host_status === 'disabled') {
    return row.host_status_reason ? `is disabled: ${row.host_status_reason}` : 'is disabled';
  }
  if (row.revoked_at !== null) return 'is revoked: enrol it again with host-reenroll';
  if (row.lease_expires_at === null || row.lease_expires_at <= now) {
    return 'is down: its agent does not answer; start it, or wait until it is back';
  }
  const blocking = row.host_conditions.find((condition) => condition.blocks_attaching);
  if (blocking !== undefined) return `blocks attaching: ${blocking.message}`;
  const hypervisor = row.host_plugs.find((plug) => plug.hypervisor === row.hypervisor);
  if (hypervisor !== undefined && !hypervisor.healthy) {
    return `cannot attach: hypervisor ${row.hypervisor} is not healthy (${hypervisor.reason ?? 'no reason given'})`;
  }
  return undefined;
}

async function notFound(db: Db, caller: Caller, instance: string): Promise<ServiceError> {
  const visible = instancesInScope(scopeOf(caller));
  const names = await listInstanceNames(db, visible);
  const hint = nearestHint(instance, names, 'you have none');
  const rule = isAdmin(caller) ? '' : ' Instances without a project are shown to admins only.';
  return new ServiceError(
    'instance-not-found',
    `There is no instance "${instance}"; ${hint}.${rule}`,
    {
      extra: { nearest: nearest(instance, names) },
    },
  );
}

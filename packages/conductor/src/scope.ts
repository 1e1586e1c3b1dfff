/**
 * Whose things a caller sees. Out of scope is the same as not there: 404, never 403.
 *
 * - admin: all.
 * - manager: what is on hosts or backends granted to the project, and what the project holds.
 * - member, reader: what the project's instances hold or what is reserved for the project.
 */
import { isAdmin, type Caller } from '@cyborg/model/caller';
import { sql, type RawBuilder, type SqlBool } from 'kysely';

export type Scope =
  | { readonly kind: 'all' }
  | { readonly kind: 'granted'; readonly projectId: string }
  | { readonly kind: 'project'; readonly projectId: string };

type Condition = RawBuilder<SqlBool>;

const everything: Condition = sql<SqlBool>`true`;
const nothing: Condition = sql<SqlBool>`false`;

export function scopeOf(caller: Caller): Scope {
  if (isAdmin(caller)) return { kind: 'all' };
  return caller.roles.has('manager')
    ? { kind: 'granted', projectId: caller.projectId }
    : { kind: 'project', projectId: caller.projectId };
}

/** For queries on `host`: a manager sees a host of which anything is granted. */
export function hostsInScope(scope: Scope): Condition {
  switch (scope.kind) {
    case 'all':
      return everything;
    case 'granted':
      return sql<SqlBool>`host.id in (
        select g.host_id from access_grant g where g.project_id = ${scope.projectId})`;
    case 'project':
      return nothing;
  }
}

/** For queries on `backend`. */
export function backendsInScope(scope: Scope): Condition {
  switch (scope.kind) {
    case 'all':
      return everything;
    case 'granted':
      return isGranted(scope.projectId, 'backend.id');
    case 'project':
      return sql<SqlBool>`backend.id in (
        select a.backend_id from accelerator a
        where a.project_id = ${scope.projectId} or a.reserved_for = ${scope.projectId})`;
  }
}

/** For queries on `device`: each alternative has an index of its own, which a list takes one by one. */
export function devicesInScopeAnyOf(scope: Scope): Condition[] {
  if (scope.kind === 'all') return [everything];
  const own = sql<SqlBool>`device.id in (select a.device_id from accelerator a
    where a.project_id = ${scope.projectId} or a.reserved_for = ${scope.projectId})`;
  return scope.kind === 'project' ? [own] : [own, isGranted(scope.projectId, 'device.backend_id')];
}

/** For queries on `accelerator`. */
export function acceleratorsInScope(scope: Scope): Condition {
  return sql`(${sql.join(acceleratorsInScopeAnyOf(scope), sql` or `)})`;
}

/** The same as alternatives, each with an index of its own, which a list takes one by one. */
export function acceleratorsInScopeAnyOf(scope: Scope): Condition[] {
  if (scope.kind === 'all') return [everything];
  const own = [
    sql<SqlBool>`accelerator.project_id = ${scope.projectId}`,
    sql<SqlBool>`accelerator.reserved_for = ${scope.projectId}`,
  ];
  return scope.kind === 'project'
    ? own
    : [...own, isGranted(scope.projectId, 'accelerator.backend_id')];
}

/** For queries on `instance`: without a project, only admins see it. */
export function instancesInScope(scope: Scope): Condition {
  return scope.kind === 'all' ? everything : sql<SqlBool>`instance.project_id = ${scope.projectId}`;
}

/** For lists of what belongs to projects: the one that the caller sees, or undefined for all. */
export function projectOf(scope: Scope): string | undefined {
  return scope.kind === 'all' ? undefined : scope.projectId;
}

/** For tables whose rows belong to one project by `project_id`: operations, events, attachments, quotas. */
export function ownInScope(
  scope: Scope,
  table: 'operation' | 'event' | 'attachment' | 'quota' | 'access_grant',
): Condition {
  return scope.kind === 'all'
    ? everything
    : sql<SqlBool>`${sql.ref(`${table}.project_id`)} = ${scope.projectId}`;
}

/** True when the caller may be told who that project's instance is. */
export function mayName(scope: Scope, projectId: string | null): boolean {
  return scope.kind === 'all' || projectId === scope.projectId;
}

/**
 * `exists` leaves PostgreSQL the choice: from the grants to the rows, or row by row to the grants. Also for backends by
 * way of another look at the table: compared by id alone, the grants can be the side to begin with.
 */
function isGranted(
  projectId: string,
  backendId: 'backend.id' | 'device.backend_id' | 'accelerator.backend_id',
): Condition {
  return sql`exists (select from access_grant g
    join backend b on b.host_id = g.host_id and (g.backend_name is null or g.backend_name = b.name)
    where g.project_id = ${projectId} and b.id = ${sql.ref(backendId)})`;
}

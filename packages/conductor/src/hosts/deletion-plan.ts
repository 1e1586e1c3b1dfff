/** What goes with a host, and what stands in the way of its going. */
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { sql, type SqlBool } from 'kysely';

import { listNaming, type NamingBackend } from '../deployments/forget-host.ts';
import { inUse, readUses, type Use } from '../deployments/users.ts';
import type { Tx } from '../deps.ts';
import { checkIfMatch } from '../etag.ts';
import { scopeOf, type Scope } from '../scope.ts';
import type { Act } from '../transaction.ts';
import { findHost, type HostRow } from './find-host.ts';
import { isUp } from './view.ts';

export interface DeletionAsked {
  readonly caller: Caller;
  /** Name or id. */
  readonly host: string;
  readonly ifMatch: string | undefined;
  /** Why what is not clean need not be cleaned any more. */
  readonly reason: string | undefined;
}

export interface UncleanAccelerator {
  readonly id: string;
  readonly name: string;
  readonly key: string;
  readonly backend: string;
  readonly state: 'cleaning' | 'cleaning_failed';
  readonly reason: string | null;
}

/** Rows that go, by what they are. */
export type HostContents = Readonly<Record<(typeof contents)[number], number>>;

export interface DeletionPlan {
  readonly host: HostRow;
  readonly unclean: readonly UncleanAccelerator[];
  readonly naming: readonly NamingBackend[];
  readonly contents: HostContents;
}

const contents = [
  'installations',
  'backends',
  'services',
  'devices',
  'deployables',
  'accelerators',
  'instances',
  'unclaimed',
  'grants',
  'join_tokens',
] as const;

/**
 * Only reads, but for the locks that `isLocked` asks for.
 *
 * @throws ServiceError `wrong-state` while its agent holds its lease, or while something of it is not clean and no reason
 *   is given; `in-use` while something of it is held.
 */
export async function planDeletion(
  { tx, now }: Act,
  { caller, host: wanted, ifMatch, reason }: DeletionAsked,
  { isLocked }: { readonly isLocked: boolean },
): Promise<DeletionPlan> {
  const scope = scopeOf(caller);
  const seen = await findHost(tx, scope, { host: wanted });
  if (isLocked) await lockJoinTokens(tx, seen);
  const naming = await listNaming(tx, seen.id, { isLocked });
  if (isLocked) await lockWhatItHas(tx, seen);
  const host = isLocked ? await findHost(tx, scope, { host: wanted, isLocked }) : seen;
  checkIfMatch(ifMatch, host, `host ${host.name}`);
  refuseUp(host, now);
  refuseHeld(host, scope, await listHeld(tx, host));
  const unclean = await listUnclean(tx, host);
  if (reason === undefined) refuseUnclean(host, unclean);
  return { host, unclean, naming, contents: await countContents(tx, { host, now }) };
}

/** Before the host, as an enrolment does. */
async function lockJoinTokens(tx: Tx, { name }: HostRow): Promise<void> {
  await sql`select from join_token where host_name = ${name} order by id for update`.execute(tx);
}

/** In the order in which every act locks them; new ones of the host wait for its own row, which is locked last. */
async function lockWhatItHas(tx: Tx, { id }: HostRow): Promise<void> {
  for (const table of ['instance', 'installation', 'backend', 'accelerator'] as const) {
    await sql`select from ${sql.table(table)} where host_id = ${id}::uuid order by id for update`.execute(
      tx,
    );
  }
}

function refuseUp(host: HostRow, now: Date): void {
  // A revoked agent may do nothing more, however long its lease runs.
  if (host.revoked_at !== null || !isUp(host, now)) return;
  throw new ServiceError(
    'wrong-state',
    `Host ${host.name} is up: its agent holds its lease until ${host.lease_expires_at?.toISOString()}. ` +
      `Stop the agent on the host, or shut it out with \`cyborg host-revoke ${host.name}\`, before the host is deleted.`,
  );
}

/** With what its instances hold elsewhere: on the way to another host they may still be listed here. */
function listHeld(tx: Tx, { id }: HostRow): Promise<Use[]> {
  return readUses(
    tx,
    sql<SqlBool>`(a.host_id = ${id}::uuid or a.instance_id in (select i.id from instance i where i.host_id = ${id}::uuid))
      and (a.state in ('reserved', 'attached', 'orphaned', 'updating') or a.attachment_id is not null)`,
  );
}

function refuseHeld(host: HostRow, scope: Scope, uses: readonly Use[]): void {
  if (uses.length === 0) return;
  const hasNovas = uses.some(({ origin }) => origin === 'nova');
  const hasOurs = uses.some(({ origin }) => origin === 'cyborg');
  const waysOut = [
    hasOurs && 'Detach them first (`cyborg detach-instance`, `--force` gives up on the host).',
    hasNovas && "Delete or evacuate Nova's servers first, with the Compute API.",
    uses.some(({ state }) => state === 'updating') &&
      'What an image is written to is waited for: that ends in time, also without the host.',
  ];
  throw inUse(uses, {
    scope,
    verb: `delete host ${host.name}`,
    wayOut: waysOut.filter((way) => way !== false).join(' '),
  });
}

async function listUnclean(tx: Tx, { id }: HostRow): Promise<UncleanAccelerator[]> {
  const { rows } = await sql<UncleanAccelerator>`
    select a.id, a.name, a.key, b.name as backend, a.state, a.reason
    from accelerator a join backend b on b.id = a.backend_id
    where a.host_id = ${id}::uuid and a.state in ('cleaning', 'cleaning_failed')
    order by b.name, a.name`.execute(tx);
  return rows;
}

const shownMax = 5;

function refuseUnclean({ name }: HostRow, rows: readonly UncleanAccelerator[]): void {
  if (rows.length === 0) return;
  const shown = rows.slice(0, shownMax).map((row) => `${row.name} (${row.state})`);
  const more = rows.length > shownMax ? ` and ${rows.length - shownMax} more` : '';
  throw new ServiceError(
    'wrong-state',
    `Cannot delete host ${name}: ${rows.length} of its accelerators are not clean since they were held: ` +
      `${shown.join(', ')}${more}. Start its agent and let it clean them; or, when the hardware does not come back, ` +
      'say so with a reason (`--reason`), which is kept as evidence.',
    { extra: { accelerators: rows.map(({ id, name: own, state }) => ({ id, name: own, state })) } },
  );
}

async function countContents(
  tx: Tx,
  { host: { id, name }, now }: { readonly host: HostRow; readonly now: Date },
): Promise<HostContents> {
  const { rows } = await sql<HostContents>`select
    (select count(*) from installation where host_id = ${id}::uuid) as installations,
    (select count(*) from backend where host_id = ${id}::uuid) as backends,
    (select count(*) from service where host_id = ${id}::uuid) as services,
    (select count(*) from device where host_id = ${id}::uuid) as devices,
    (select count(*) from deployable p join device d on d.id = p.device_id where d.host_id = ${id}::uuid) as deployables,
    (select count(*) from accelerator where host_id = ${id}::uuid) as accelerators,
    (select count(*) from instance where host_id = ${id}::uuid) as instances,
    (select count(*) from unclaimed where host_id = ${id}::uuid) as unclaimed,
    (select count(*) from access_grant where host_id = ${id}::uuid) as grants,
    (select count(*) from join_token where host_name = ${name} and used_at is null and expires_at > ${now}) as join_tokens`.execute(
    tx,
  );
  const [row] = rows;
  if (row === undefined) throw new Error('a count without a row');
  return row;
}

/** `2 backends, 1 join token`: what there is of each. */
export function contentsInWords(counts: HostContents): string {
  const words = contents.flatMap((what) => {
    const count = counts[what];
    if (count === 0) return [];
    if (what === 'unclaimed') return [`${count} unclaimed`];
    return [`${count} ${(count === 1 ? what.slice(0, -1) : what).replace('_', ' ')}`];
  });
  return words.length === 0 ? 'nothing' : words.join(', ');
}

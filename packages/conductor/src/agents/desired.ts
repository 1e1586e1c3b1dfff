/** What a host should be: its installations and backends, and the orders that wait for it. */
import { createHash } from 'node:crypto';

import type { BackendAddition } from '@cyborg/store/schema-deployments';
import { orderPrints } from '@cyborg/store/orders';
import { sql, type RawBuilder } from 'kysely';

import type { ConductorDeps, Db, Ledger } from '../deps.ts';
import { listOrders, type OrderView } from '../orders/orders.ts';
import { withAdditions } from '../deployments/additions.ts';
import { findInstallationTraces } from '../traces.ts';
import type { AgentHost } from './credentials.ts';

export interface DesiredBackendView {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly additions: readonly Readonly<Record<string, unknown>>[];
  readonly generation: number;
  readonly discovery: number;
}

export interface DesiredPackageView {
  readonly digest: string;
  readonly size_bytes: number;
  readonly signature: string | null;
}

export interface DesiredInstallationView {
  readonly id: string;
  readonly driver_id: string;
  readonly version: string;
  /** Null: it comes with the agent. */
  readonly package: DesiredPackageView | null;
  readonly generation: number;
  readonly restart: number;
  readonly wanted: 'present' | 'removed';
  readonly backends: readonly DesiredBackendView[];
  readonly removed_backends: readonly DesiredBackendView[];
  readonly trace_parent: string | null;
}

export interface DesiredView {
  readonly ledger: Ledger;
  readonly revision: string;
  readonly installations: readonly DesiredInstallationView[];
  readonly orders: readonly OrderView[];
  readonly release_unclaimed: readonly {
    readonly id: string;
    readonly instance_id: string;
    readonly device_name: string;
  }[];
  readonly more: boolean;
}

export interface DesiredQuery {
  readonly revision?: string | undefined;
  readonly wait_seconds?: number | undefined;
}

/** By the agent API: ordersPerAnswerMax. */
const ordersMax = 512;
const waitSecondsMax = 30;

export type ShowDesired = (
  host: AgentHost,
  asked: { readonly query: DesiredQuery; readonly signal?: AbortSignal | undefined },
) => Promise<DesiredView>;

/** Answers at once when the host's revision differs from the one given, else when it does or the time is over. */
export function makeShowDesired(deps: ConductorDeps): ShowDesired {
  const fleet: FleetCache = new Map();
  return async (host, { query, signal }) => {
    const waitMs = Math.min(query.wait_seconds ?? 0, waitSecondsMax) * 1000;
    const untilMs = deps.clock.monotonicMs() + (query.revision === undefined ? 0 : waitMs);
    let bell = Promise.withResolvers<void>();
    using _waiter = deps.wake.subscribe(`host:${host.id}`, () => bell.resolve());
    for (;;) {
      // Before the look: what changes during it rings again.
      bell = Promise.withResolvers<void>();
      const print = await fingerprintOf(deps.db, host.id);
      const revision = revisionOf(print);
      const leftMs = untilMs - deps.clock.monotonicMs();
      if (revision !== query.revision || leftMs <= 0 || signal?.aborted === true) {
        return readDesired(deps, host, { print, revision, fleet });
      }
      await rungOrOver(deps, bell.promise, { leftMs, signal });
    }
  };
}

interface Fleet {
  /** Of installations, backends and unclaimed devices: as long as it is the same, so are they. */
  readonly print: string;
  readonly installations: readonly DesiredInstallationView[];
  readonly release_unclaimed: DesiredView['release_unclaimed'];
}

type FleetCache = Map<string, Fleet>;
const cachedHostsMax = 2000;

interface Fingerprint {
  readonly fleet: string;
  readonly orders: string;
}

function revisionOf({ fleet, orders }: Fingerprint): string {
  return createHash('sha256').update(`${fleet};${orders}`).digest('base64url');
}

async function rungOrOver(
  { clock }: ConductorDeps,
  rung: Promise<void>,
  { leftMs, signal }: { leftMs: number; signal: AbortSignal | undefined },
): Promise<void> {
  const done = new AbortController();
  const either = signal === undefined ? done.signal : AbortSignal.any([done.signal, signal]);
  const over = clock.sleep(leftMs, either).catch(() => {});
  await Promise.race([rung, over]);
  done.abort();
}

/** The revision is read first: a state newer than its revision is only asked for once more. */
async function readDesired(
  { db, ledger }: ConductorDeps,
  host: AgentHost,
  known: { readonly print: Fingerprint; readonly revision: string; readonly fleet: FleetCache },
): Promise<DesiredView> {
  const { print, revision } = known;
  const [{ installations, release_unclaimed }, { orders, more }] = await Promise.all([
    readFleet(db, host, { print: print.fleet, cache: known.fleet }),
    print.orders === '' ? { orders: [], more: false } : listOrders(db, host.id, ordersMax),
  ]);
  return { ledger, revision, installations, orders, release_unclaimed, more };
}

/** Orders come and go many times a second; installations do not. */
async function readFleet(
  db: Db,
  host: AgentHost,
  { print, cache }: { readonly print: string; readonly cache: FleetCache },
): Promise<Fleet> {
  const known = cache.get(host.id);
  if (known?.print === print) return known;
  const installations = await listInstallations(db, host.id);
  const release_unclaimed = await db
    .selectFrom('unclaimed')
    .select(['id', 'instance_id', 'device_name'])
    .where('host_id', '=', host.id)
    .where('ordered', '=', 'release')
    .orderBy('id')
    .execute();
  const read = { print, installations, release_unclaimed };
  if (cache.size >= cachedHostsMax) cache.clear();
  cache.set(host.id, read);
  return read;
}

async function listInstallations(db: Db, hostId: string): Promise<DesiredInstallationView[]> {
  const installations = await db
    .selectFrom('installation')
    .select(['id', 'driver_id', 'wanted_version', 'generation', 'restart_requested', 'state'])
    .where('host_id', '=', hostId)
    .where('state', '<>', 'removed')
    .orderBy('driver_id')
    .execute();
  const packages = await listPackages(db, hostId);
  const backends = await db
    .selectFrom('backend')
    .selectAll()
    .where('host_id', '=', hostId)
    .orderBy('name')
    .execute();
  const traces = await findInstallationTraces(db, hostId);
  return installations.map((row) => {
    const own = backends.filter(({ installation_id }) => installation_id === row.id);
    const isRemoved = row.state === 'removing';
    const leaving = own.filter((backend) => backend.state === 'removing' && !isGone(backend));
    const staying = own.filter((backend) => backend.state !== 'removing');
    return {
      id: row.id,
      driver_id: row.driver_id,
      version: row.wanted_version,
      package: packages.get(row.id) ?? null,
      generation: row.generation,
      restart: row.restart_requested,
      wanted: isRemoved ? 'removed' : 'present',
      backends: staying.map(toDesiredBackend),
      removed_backends: leaving.map(toDesiredBackend),
      trace_parent: traces.get(row.id) ?? null,
    };
  });
}

async function listPackages(db: Db, hostId: string): Promise<Map<string, DesiredPackageView>> {
  const { rows } = await sql<DesiredPackageView & { readonly id: string }>`
    select i.id, v.approved_digest as digest, v.size_bytes, v.signature from installation i
    join driver_version v on v.driver_id = i.driver_id and v.version = i.wanted_version
    where i.host_id = ${hostId}::uuid and v.approved_digest is not null`.execute(db);
  return new Map(
    rows.map(({ id, digest, size_bytes, signature }) => [id, { digest, size_bytes, signature }]),
  );
}

/** Taken away on the host; its row stays for what was kept through a forced uninstall. */
function isGone(backend: { generation: number; observed_generation: number }): boolean {
  return backend.observed_generation >= backend.generation;
}

/** Accelerators made by request travel in the configuration: no driver needs to know them apart. */
function toDesiredBackend(row: {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly additions: readonly BackendAddition[];
  readonly generation: number;
  readonly discovery_requested: number;
}): DesiredBackendView {
  const { id, name, kind, generation, discovery_requested: discovery } = row;
  const config = withAdditions(kind, row.config, row.additions);
  return { id, name, kind, config, additions: [], generation, discovery };
}

async function fingerprintOf(db: Db, hostId: string): Promise<Fingerprint> {
  const { rows } = await sql<{ fleet: string; orders: string | null }>`
    select fleet.text as fleet, orders.fingerprint as orders
    from (${fleetPrints([hostId])}) as fleet left join (${orderPrints([hostId])}) as orders using (host_id)`.execute(
    db,
  );
  return { fleet: rows[0]?.fleet ?? '', orders: rows[0]?.orders ?? '' };
}

/** For the re-check: for each host a text that differs whenever its desired state does. */
export function hostPrints(hostIds: readonly string[]): RawBuilder<unknown> {
  return sql`
    select concat('host:', fleet.host_id) as topic, concat(fleet.text, ';', orders.fingerprint) as text
    from (${fleetPrints(hostIds)}) as fleet left join (${orderPrints(hostIds)}) as orders using (host_id)`;
}

/** Every change of a wish raises a generation, a version or a count that is in here. */
function fleetPrints(hostIds: readonly string[]): RawBuilder<{ host_id: string; text: string }> {
  return sql`
    select h.id as host_id, concat(
      (select string_agg(concat_ws(':', i.id, i.generation, i.restart_requested, i.wanted_version, i.state in ('removing', 'removed')), ',' order by i.id)
        from installation i where i.host_id = h.id), ';',
      (select string_agg(concat_ws(':', b.id, b.generation, b.state = 'removing',
          b.state = 'removing' and b.observed_generation >= b.generation, b.discovery_requested), ',' order by b.id)
        from backend b where b.host_id = h.id), ';',
      (select string_agg(u.id::text, ',' order by u.id)
        from unclaimed u where u.host_id = h.id and u.ordered = 'release')) as text
    from unnest(${hostIds}::uuid[]) as h(id)`;
}

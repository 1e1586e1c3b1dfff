import type { SignaturePolicy } from '@cyborg/driver-package/signature';
import type { DriverManifestKind, HostNeeds } from '@cyborg/store/schema-drivers';
import { sql } from 'kysely';

import type { ConductorDeps, Db } from '../deps.ts';
import type { Handler, Input } from '../handler.ts';
import { fromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { backendsInScope, hostsInScope, scopeOf, type Scope } from '../scope.ts';
import {
  findDriver,
  listVersions,
  newestApproved,
  type DriverRow,
  type VersionRow,
} from './find-driver.ts';
import { toVersionView, type DriverVersionView } from './version-view.ts';
import { trustOf } from './versions.ts';

export interface DriverView {
  readonly id: string;
  readonly title: string;
  readonly version: string | null;
  readonly installed_version: string | null;
  readonly hosts_ready: number;
  readonly hosts_total: number;
  readonly versions: readonly DriverVersionView[];
  readonly signature_policy: SignaturePolicy;
  readonly kinds: readonly DriverManifestKind[];
  readonly needs: HostNeeds;
  readonly blocked: readonly BlockedBackend[];
  readonly created_at: Date;
}

/** By the API: blockedShownMax. */
const blockedShownMax = 16;

type Params = { readonly driver_id: string };

export interface DriverHandlers {
  readonly listDrivers: Handler<Input<object, PageQuery>, Page<DriverView>>;
  readonly showDriver: Handler<Input<Params>, DriverView>;
}

interface BlockedBackend {
  readonly host: string;
  readonly backend: string;
  readonly reason: string | null;
}

interface Installed {
  readonly driver_id: string;
  readonly version: string | null;
  readonly ready: number;
  readonly total: number;
  readonly blocked: readonly BlockedBackend[];
}

export function makeDriverHandlers(
  deps: Pick<ConductorDeps, 'db' | 'driverTrust'>,
): DriverHandlers {
  const { db } = deps;
  const { policy } = trustOf(deps);
  return {
    async listDrivers(caller, { query }) {
      const [after] = fromMarker(query.marker, 1) ?? [];
      let rows = db.selectFrom('driver').selectAll().orderBy('id').limit(rowsWanted(query));
      if (after !== undefined) rows = rows.where('id', '>', after);
      const drivers = await rows.execute();
      const ids = drivers.map(({ id }) => id);
      const versions = await listVersions(db, ids);
      const installed = await readInstalled(db, scopeOf(caller), ids);
      return toPage(drivers, query, {
        keyOf: ({ id }) => [id],
        toItem: (driver) =>
          toDriverView(driver, {
            versions: versions.filter((row) => row.driver_id === driver.id),
            installed: installed.find((row) => row.driver_id === driver.id),
            policy,
          }),
      });
    },

    async showDriver(caller, { params }) {
      const { driver, versions } = await findDriver(db, params.driver_id);
      const [installed] = await readInstalled(db, scopeOf(caller), [driver.id]);
      return toDriverView(driver, { versions, installed, policy });
    },
  };
}

/** Counts the hosts that the caller sees. */
async function readInstalled(
  db: Db,
  scope: Scope,
  driverIds: readonly string[],
): Promise<Installed[]> {
  const { rows } = await sql<Installed>`
    select d.id as driver_id, p.version,
      (select count(*) from installation i join host on host.id = i.host_id
        where i.driver_id = d.id and i.state <> 'removed' and ${hostsInScope(scope)}) as total,
      (select count(*) from installation i join host on host.id = i.host_id
        where i.driver_id = d.id and i.state = 'ready' and i.running_version = i.wanted_version
          and ${hostsInScope(scope)}) as ready,
      coalesce((select jsonb_agg(one) from (
        select host.name as host, backend.name as backend, backend.reason
        from backend join host on host.id = backend.host_id
        where backend.driver_id = d.id and backend.state = 'blocked' and ${backendsInScope(scope)}
        order by host.name, backend.name limit ${blockedShownMax}) as one), '[]') as blocked
    from driver d left join deployment p on p.driver_id = d.id
    where d.id = any(${driverIds}::text[])`.execute(db);
  return rows;
}

function toDriverView(
  driver: DriverRow,
  known: {
    readonly versions: readonly VersionRow[];
    readonly installed: Installed | undefined;
    readonly policy: SignaturePolicy;
  },
): DriverView {
  const { versions, installed } = known;
  const newest = newestApproved(versions);
  const manifest = (newest ?? versions[0])?.manifest;
  return {
    id: driver.id,
    title: driver.title,
    version: newest?.version ?? null,
    installed_version: installed?.version ?? null,
    hosts_ready: installed?.ready ?? 0,
    hosts_total: installed?.total ?? 0,
    versions: versions.map(toVersionView),
    signature_policy: known.policy,
    kinds: manifest?.kinds ?? [],
    needs: manifest?.needs ?? {},
    blocked: installed?.blocked ?? [],
    created_at: driver.created_at,
  };
}

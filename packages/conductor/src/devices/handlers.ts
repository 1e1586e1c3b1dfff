import { ServiceError } from '@cyborg/model/errors';
import { isUuid } from '@cyborg/model/ids';
import type { Database } from '@cyborg/store/schema';
import type { DeviceTable } from '@cyborg/store/schema-inventory';
import { isOnPage } from '@cyborg/store/page-of-ids';
import {
  sql,
  type RawBuilder,
  type SelectQueryBuilder,
  type Selectable,
  type SqlBool,
} from 'kysely';

import { countAccelerators, toCountView, type Count, type CountView } from '../backends/counts.ts';
import { matchesBackend, matchesHost } from '../backends/find-backend.ts';
import { checkFilters } from '../backends/check-filters.ts';
import type { ConductorDeps, Db } from '../deps.ts';
import type { Handler, Input } from '../handler.ts';
import { badMarker, fromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { devicesInScopeAnyOf, scopeOf, type Scope } from '../scope.ts';

export interface DeviceView extends CountView {
  readonly id: string;
  readonly number: number;
  readonly host: string;
  readonly backend: string;
  readonly driver_id: string;
  readonly address: string | null;
  readonly vendor_id: string | null;
  readonly device_id: string | null;
  readonly class: string | null;
  readonly type: string;
  readonly vendor: string | null;
  readonly model: string | null;
  readonly serial: string | null;
  readonly numa_node: number | null;
  readonly iommu_group: number | null;
  readonly kernel_driver: string | null;
  readonly presence: 'present' | 'absent' | 'stale';
  readonly absent_since: Date | null;
  readonly health: string;
  readonly health_reason: string | null;
  readonly info: Readonly<Record<string, string>>;
  readonly simulated: boolean;
  readonly created_at: Date;
  readonly updated_at: Date | null;
}

interface DeviceQuery extends PageQuery {
  readonly host?: string | undefined;
  readonly backend?: string | undefined;
  readonly type?: string | undefined;
}

export interface DeviceHandlers {
  readonly listDevices: Handler<Input<object, DeviceQuery>, Page<DeviceView>>;
  readonly showDevice: Handler<Input<{ readonly id: string }>, DeviceView>;
}

interface Row extends Selectable<DeviceTable> {
  readonly host_name: string;
  readonly simulated: boolean;
  readonly backend_name: string;
  readonly driver_id: string;
  readonly stale_since: Date | null;
}

export function makeDeviceHandlers({ db }: Pick<ConductorDeps, 'db'>): DeviceHandlers {
  return {
    async listDevices(caller, { query }) {
      await checkFilters(db, caller, query);
      const scope = scopeOf(caller);
      const [after] = fromMarker(query.marker, 1) ?? [];
      if (after !== undefined && !isUuid(after)) throw badMarker(query.marker ?? '');
      const page = { ...query, after, scope, limit: rowsWanted(query) };
      const found = await selectDevices(db).where(onPage(page)).orderBy('device.id').execute();
      const ids = found.map(({ id }) => id);
      const countOf = await countAccelerators(db, scope, { by: 'device_id', ids });
      return toPage(found, query, {
        keyOf: ({ id }) => [id],
        toItem: (row) => toDeviceView(row, countOf(row.id)),
      });
    },

    async showDevice(caller, { params }) {
      const scope = scopeOf(caller);
      const row = await selectDevices(db)
        .where('device.id', '=', params.id)
        .where((eb) => eb.or(devicesInScopeAnyOf(scope)))
        .executeTakeFirst();
      if (row === undefined) {
        throw new ServiceError(
          'device-not-found',
          `There is no device ${params.id}; \`device-list\` lists those that you may see.`,
        );
      }
      const countOf = await countAccelerators(db, scope, { by: 'device_id', ids: [row.id] });
      return toDeviceView(row, countOf(row.id));
    },
  };
}

interface DevicePage extends Omit<DeviceQuery, 'marker'> {
  readonly scope: Scope;
  readonly after: string | undefined;
  readonly limit: number;
}

function onPage({ scope, host, backend, type, after, limit }: DevicePage): RawBuilder<SqlBool> {
  const conditions = [
    ...(host === undefined
      ? []
      : [sql<SqlBool>`device.host_id in (select host.id from host where ${matchesHost(host)})`]),
    ...(backend === undefined
      ? []
      : [
          sql<SqlBool>`device.backend_id in (select backend.id from backend
            join host on host.id = backend.host_id where ${matchesBackend(backend)})`,
        ]),
    ...(type === undefined ? [] : [sql<SqlBool>`device.type = ${type}`]),
  ];
  return isOnPage('device', { anyOf: devicesInScopeAnyOf(scope), conditions, after, limit });
}

function selectDevices(db: Db): SelectQueryBuilder<Database, 'device' | 'host' | 'backend', Row> {
  return db
    .selectFrom('device')
    .innerJoin('host', 'host.id', 'device.host_id')
    .innerJoin('backend', 'backend.id', 'device.backend_id')
    .selectAll('device')
    .select(['host.name as host_name', 'host.simulated'])
    .select(['backend.name as backend_name', 'backend.driver_id', 'backend.stale_since']);
}

function toDeviceView(row: Row, count: Count): DeviceView {
  const isStale = row.presence === 'present' && row.stale_since !== null;
  return {
    id: row.id,
    number: row.number,
    host: row.host_name,
    backend: row.backend_name,
    driver_id: row.driver_id,
    address: row.address,
    vendor_id: row.vendor_id,
    device_id: row.device_id,
    class: row.class,
    type: row.type,
    vendor: row.vendor,
    model: row.model,
    serial: row.serial,
    numa_node: row.numa_node,
    iommu_group: row.iommu_group,
    kernel_driver: row.kernel_driver,
    presence: isStale ? 'stale' : row.presence,
    absent_since: row.absent_since,
    health: row.health,
    health_reason: row.health_reason,
    info: row.info,
    ...toCountView(count),
    simulated: row.simulated,
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

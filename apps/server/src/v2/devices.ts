import type { V2Handlers } from '@cyborg/conductor/v2/handlers';
import type { V2DeviceRow } from '@cyborg/store/v2/devices';

import { toV2Date } from './dates.ts';
import { selfLink } from './links.ts';
import { mapBatches } from './map-batches.ts';
import { pythonJson } from './python-json.ts';
import { streamed } from './route.ts';
import type { V2Call, V2Route } from './route.ts';

export function deviceRoutes({ devices }: Pick<V2Handlers, 'devices'>): readonly V2Route[] {
  return [
    {
      method: 'GET',
      path: '/devices',
      rule: 'cyborg:device:get_all',
      query: ['type', 'vendor', 'hostname', 'filters'],
      success: 200,
      handle: async (call) =>
        streamed(
          'devices',
          mapBatches(devices.listDevices(call.query), (row) => toDevice(row, call)),
        ),
    },
    {
      method: 'GET',
      path: '/devices/:uuid',
      rule: 'cyborg:device:get_one',
      success: 200,
      handle: async (call) => toDevice(await devices.showDevice(idIn(call)), call),
    },
    {
      method: 'POST',
      path: '/devices/:uuid/disable',
      rule: 'cyborg:device:disable',
      success: 204,
      handle: (call) => setStatus(call, 'maintaining'),
    },
    {
      method: 'POST',
      path: '/devices/:uuid/enable',
      rule: 'cyborg:device:enable',
      success: 204,
      handle: (call) => setStatus(call, 'enabled'),
    },
  ];

  async function setStatus(call: V2Call, status: 'enabled' | 'maintaining'): Promise<undefined> {
    await devices.setDeviceStatus(call.caller, { id: idIn(call), status });
    return undefined;
  }
}

function idIn({ params }: V2Call): string {
  return params['uuid'] ?? '';
}

/** From this microversion on a device says its status. */
const statusSince = 3;

function toDevice(row: V2DeviceRow, { base, minor }: V2Call): object {
  return {
    uuid: row.id,
    type: row.v2_type,
    vendor: row.v2_vendor,
    model: row.model ?? 'miss model info',
    std_board_info: boardInfo(row),
    vendor_board_info: vendorInfo(row),
    hostname: row.hostname,
    ...(minor >= statusSince ? { status: row.status } : {}),
    links: [selfLink(base, 'devices', row.id)],
    created_at: toV2Date(row.created_at),
    updated_at: toV2Date(row.updated_at),
  };
}

/** What upstream's drivers say of a board: texts that hold JSON, by habit. */
function boardInfo({ device_id, class: deviceClass }: V2DeviceRow): string | null {
  const known = {
    ...(device_id === null ? {} : { device_id }),
    ...(deviceClass === null ? {} : { class: deviceClass }),
  };
  return Object.keys(known).length === 0 ? null : pythonJson(known);
}

function vendorInfo({ info }: V2DeviceRow): string | null {
  const given = info['vendor_board_info'];
  if (given !== undefined) return given;
  return Object.keys(info).length === 0 ? null : pythonJson(info);
}

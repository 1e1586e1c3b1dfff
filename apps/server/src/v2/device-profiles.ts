import type { V2Handlers } from '@cyborg/conductor/v2/handlers';
import { V2Fault } from '@cyborg/model/v2/fault';
import { toUuid } from '@cyborg/model/v2/uuid';
import type { DeviceProfileRow } from '@cyborg/store/device-profiles';

import { missingArgument, needed } from './arguments.ts';
import { toV2Date } from './dates.ts';
import { selfLink } from './links.ts';
import type { V2Link } from './links.ts';
import { mapBatches } from './map-batches.ts';
import { streamed } from './route.ts';
import type { V2Call, V2Route } from './route.ts';

/** From this microversion on a profile is shown by its name, too. */
const nameSince = 2;

export function profileRoutes({ profiles }: Pick<V2Handlers, 'profiles'>): readonly V2Route[] {
  const remove = async ({ caller }: V2Call, names: readonly string[]): Promise<undefined> => {
    if (names.length === 0) throw missingArgument('value');
    await profiles.deleteProfiles(caller, names);
    return undefined;
  };
  return [
    {
      method: 'GET',
      path: '/device_profiles',
      rule: 'cyborg:device_profile:get_all',
      query: ['name'],
      success: 200,
      handle: async (call) => {
        const rows = profiles.listProfiles(call.query['name']?.split(','));
        return streamed(
          'device_profiles',
          mapBatches(rows, (row) => toProfile(row, call)),
        );
      },
    },
    {
      method: 'GET',
      path: '/device_profiles/:profile',
      rule: 'cyborg:device_profile:get_one',
      success: 200,
      handle: showProfile,
    },
    {
      method: 'POST',
      path: '/device_profiles',
      rule: 'cyborg:device_profile:create',
      body: 'req_devprof_list',
      success: 201,
      handle: async (call) => toProfile(await profiles.createProfile(call.caller, call.body), call),
    },
    {
      method: 'DELETE',
      path: '/device_profiles/:profile',
      rule: 'cyborg:device_profile:delete',
      success: 204,
      handle: (call) => remove(call, [call.params['profile'] ?? '']),
    },
    {
      method: 'DELETE',
      path: '/device_profiles',
      rule: 'cyborg:device_profile:delete',
      query: ['value'],
      success: 204,
      handle: (call) =>
        remove(
          call,
          needed(call.query, 'value')
            .split(',')
            .filter((name) => name !== ''),
        ),
    },
  ];

  async function showProfile(call: V2Call): Promise<object> {
    const { profile = '' } = call.params;
    if (toUuid(profile) === undefined && call.minor < nameSince) {
      throw new V2Fault(
        406,
        `Request not acceptable. The minimal required API version should be 2.${nameSince}`,
      );
    }
    return { device_profile: toSingle(await profiles.showProfile(profile), call) };
  }
}

function toProfile(row: DeviceProfileRow, call: V2Call): object {
  return {
    uuid: row.id,
    name: row.name,
    description: row.description,
    groups: row.groups,
    created_at: toV2Date(row.created_at),
    updated_at: toV2Date(row.updated_at),
    links: linksOf(row, call),
  };
}

/** Its dates are Python's `str()` of them. */
function toSingle(row: DeviceProfileRow, call: V2Call): object {
  return {
    name: row.name,
    description: row.description,
    uuid: row.id,
    groups: row.groups,
    created_at: toV2Date(row.created_at).replace('T', ' '),
    updated_at: toV2Date(row.updated_at)?.replace('T', ' ') ?? null,
    links: linksOf(row, call),
  };
}

function linksOf({ id }: DeviceProfileRow, { base }: V2Call): V2Link[] {
  return [selfLink(base, 'device_profiles', id)];
}

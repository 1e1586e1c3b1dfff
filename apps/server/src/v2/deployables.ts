import type { V2Handlers } from '@cyborg/conductor/v2/handlers';
import type { V2DeployableRow } from '@cyborg/store/v2/deployables';

import { toV2Date } from './dates.ts';
import { bookmarkLink, selfLink } from './links.ts';
import { mapBatches } from './map-batches.ts';
import { pythonJson } from './python-json.ts';
import { streamed } from './route.ts';
import type { V2Call, V2Route } from './route.ts';

export function deployableRoutes({
  deployables,
}: Pick<V2Handlers, 'deployables'>): readonly V2Route[] {
  return [
    {
      method: 'GET',
      path: '/deployables',
      rule: 'cyborg:deployable:get_all',
      query: ['filters'],
      success: 200,
      handle: async (call) =>
        streamed(
          'deployables',
          mapBatches(deployables.listDeployables(call.query), (row) => toDeployable(row, call)),
        ),
    },
    {
      method: 'GET',
      path: '/deployables/:uuid',
      rule: 'cyborg:deployable:get_one',
      success: 200,
      handle: async (call) => toDeployable(await deployables.showDeployable(idIn(call)), call),
    },
    {
      method: 'PATCH',
      path: '/deployables/:uuid/program',
      rule: 'cyborg:deployable:program',
      body: 'program_info',
      success: 200,
      handle: async (call) => {
        const given = { id: idIn(call), body: call.body };
        return toDeployable(await deployables.programDeployable(call.caller, given), call);
      },
    },
  ];
}

function idIn({ params }: V2Call): string {
  return params['uuid'] ?? '';
}

function toDeployable(row: V2DeployableRow, { base }: V2Call): object {
  return {
    uuid: row.id,
    parent_id: row.parent_number,
    root_id: row.root_number,
    name: row.name,
    num_accelerators: row.accelerators,
    device_id: row.device_number,
    attributes_list: attributesList(row),
    rp_uuid: row.rp_uuid,
    driver_name: row.driver_id,
    bitstream_id: row.bitstream_id,
    links: [selfLink(base, 'deployables', row.id), bookmarkLink(base, 'deployables', row.id)],
    created_at: toV2Date(row.created_at),
    updated_at: toV2Date(row.updated_at),
  };
}

/** A text that holds JSON: a list of objects with one key each. */
function attributesList({ attributes }: V2DeployableRow): string {
  return `[${attributes.map(([key, value]) => pythonJson({ [key]: value })).join(', ')}]`;
}

import type { V2Handlers } from '@cyborg/conductor/v2/handlers';
import { V2Fault } from '@cyborg/model/v2/fault';
import type { V2AttributeRow } from '@cyborg/store/v2/attributes';

import { needed } from './arguments.ts';
import { toV2Date } from './dates.ts';
import { selfLink } from './links.ts';
import { mapBatches } from './map-batches.ts';
import { streamed } from './route.ts';
import type { V2Call, V2Route } from './route.ts';

export function attributeRoutes({
  attributes,
}: Pick<V2Handlers, 'attributes'>): readonly V2Route[] {
  const remove = async ({ caller }: V2Call, id: string): Promise<undefined> => {
    if (id === '') throw new V2Fault(400, 'Missing argument: "uuid"');
    await attributes.deleteAttribute(caller, id);
    return undefined;
  };
  return [
    {
      method: 'GET',
      path: '/attributes',
      rule: 'cyborg:attribute:get_all',
      query: ['deployable_id', 'key'],
      success: 200,
      handle: async (call) =>
        streamed(
          'attributes',
          mapBatches(attributes.listAttributes(call.query), (row) => toAttribute(row, call)),
        ),
    },
    {
      method: 'GET',
      path: '/attributes/:uuid',
      rule: 'cyborg:attribute:get_one',
      success: 200,
      handle: async (call) =>
        toAttribute(await attributes.showAttribute(call.params['uuid'] ?? ''), call),
    },
    {
      method: 'POST',
      path: '/attributes',
      rule: 'cyborg:attribute:create',
      body: 'req_attr',
      success: 201,
      handle: async (call) => {
        const row = await attributes.createAttribute(call.caller, call.body);
        return { ...toAttribute(row, call), created_at: withMicroseconds(row.created_at) };
      },
    },
    {
      method: 'DELETE',
      path: '/attributes/:uuid',
      rule: 'cyborg:attribute:delete',
      success: 204,
      handle: (call) => remove(call, call.params['uuid'] ?? ''),
    },
    {
      method: 'DELETE',
      path: '/attributes',
      rule: 'cyborg:attribute:delete',
      query: ['uuid'],
      success: 204,
      handle: (call) => remove(call, needed(call.query, 'uuid')),
    },
  ];
}

function toAttribute(row: V2AttributeRow, { base }: V2Call): object {
  return {
    uuid: row.id,
    deployable_id: row.deployable_number,
    key: row.key,
    value: row.value,
    created_at: toV2Date(row.created_at),
    updated_at: toV2Date(row.updated_at),
    links: [selfLink(base, 'attributes', row.id)],
  };
}

/** Upstream shows them of an attribute that was just made, and never again. */
function withMicroseconds(instant: Date): string {
  return `${instant.toISOString().slice(0, 23)}000+00:00`;
}

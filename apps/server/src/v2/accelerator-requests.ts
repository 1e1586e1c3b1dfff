/** v2's accelerator requests: arguments in, upstream's words and forms out. */
import type { ArqHandlers } from '@cyborg/conductor/v2/arqs/handlers';
import type { ArqView } from '@cyborg/conductor/v2/arqs/read-arqs';
import { notFound, V2Fault } from '@cyborg/model/v2/fault';
import { parseUuid } from '@cyborg/model/v2/uuid';

import { toV2Date } from './dates.ts';
import { NotResolvedYet } from './errors.ts';
import { selfLink } from './links.ts';
import { streamed } from './route.ts';
import type { V2Call, V2Route } from './route.ts';

const path = '/accelerator_requests';

export function arqRoutes(arqs: ArqHandlers): readonly V2Route[] {
  const patch = {
    method: 'PATCH',
    rule: 'cyborg:arq:update',
    body: 'patch_list',
    success: 202,
    handle: async ({ caller, body, minor, signal }: V2Call) => {
      await arqs.patch({ caller, body, minor, signal });
      return undefined;
    },
  } as const;
  const remove = { method: 'DELETE', rule: 'cyborg:arq:delete', success: 204 } as const;
  return [
    {
      method: 'POST',
      path,
      rule: 'cyborg:arq:create',
      body: 'req',
      success: 201,
      handle: async ({ caller, body, base }) => {
        const made = await arqs.create(caller, profileNameOf(body));
        return { arqs: made.map((view) => toArq(view, base)) };
      },
    },
    {
      method: 'GET',
      path,
      rule: 'cyborg:arq:get_all',
      query: ['bind_state', 'instance'],
      success: 200,
      handle: (call) => list(arqs, call),
    },
    {
      method: 'GET',
      path: `${path}/:uuid`,
      rule: 'cyborg:arq:get_one',
      success: 200,
      handle: async ({ caller, params, base }) =>
        toArq(await arqs.show(caller, parseUuid(params['uuid'] ?? '', 'uuid')), base),
    },
    { ...patch, path },
    // The client's form: what the path names does not matter, the body names it again.
    { ...patch, path: `${path}/:uuid` },
    {
      ...remove,
      path,
      query: ['arqs', 'instance'],
      handle: async (call) => {
        await removeAsked(arqs, call);
        return undefined;
      },
    },
    {
      ...remove,
      path: `${path}/:uuids`,
      handle: async ({ caller, params }) => {
        await arqs.remove(caller, toIds(params['uuids'] ?? ''));
        return undefined;
      },
    },
  ];
}

function profileNameOf(body: unknown): string {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new V2Fault(400, 'The body must be an object with device_profile_name.');
  }
  const name: unknown = 'device_profile_name' in body ? body.device_profile_name : null;
  if (name === null) throw new V2Fault(400, 'DeviceProfile name needed.');
  if (typeof name === 'string') return name;
  throw notFound('Device Profile', `with name=${JSON.stringify(name).slice(0, 200)}`);
}

async function list(arqs: ArqHandlers, { caller, query, base }: V2Call): Promise<object> {
  const { instance, bind_state: bindState = '' } = query;
  const instanceId = instance === undefined ? undefined : parseUuid(instance, 'instance');
  if (bindState !== '' && bindState !== 'resolved') {
    throw new V2Fault(
      500,
      `Bad state: ${bindState.slice(0, 80)} for ARQ: None. Expected state(s): ['resolved']`,
    );
  }
  const found = await arqs.list(caller, { instanceId, isResolved: bindState === 'resolved' });
  if (found === undefined) throw new NotResolvedYet();
  return streamed('arqs', toBatches(found, base));
}

async function* toBatches(
  batches: AsyncGenerator<ArqView[]>,
  base: string,
): AsyncGenerator<object[]> {
  for await (const batch of batches) yield batch.map((view) => toArq(view, base));
}

async function removeAsked(arqs: ArqHandlers, { caller, query }: V2Call): Promise<void> {
  const { arqs: ids = '', instance = '' } = query;
  if ((ids === '') === (instance === '')) {
    throw new V2Fault(
      500,
      'Object action delete failed because: Provide either an ARQ uuid list or an instance UUID',
    );
  }
  if (ids === '') await arqs.removeOfInstance(caller, parseUuid(instance, 'instance'));
  else await arqs.remove(caller, toIds(ids));
}

function toIds(text: string): string[] {
  return text.split(',');
}

function toArq(
  { created_at: createdAt, updated_at: updatedAt, ...view }: ArqView,
  base: string,
): object {
  return {
    ...view,
    links: [selfLink(base, 'accelerator_requests', view.uuid)],
    created_at: toV2Date(createdAt),
    updated_at: toV2Date(updatedAt),
  };
}

/** Nova's conversation about a boot whose bind must write a program image, and takes longer than its PATCH is held. */
import { programReconcilers } from '@cyborg/conductor/programs/reconcilers';
import { sendNovaEvents } from '@cyborg/conductor/nova/send-events';
import { startReconcilers } from '@cyborg/conductor/runner';
import { obey, ordersOf } from '@cyborg/conductor/test-agent';
import { brokenInvariants, changesWithoutEvent, startAudit } from '@cyborg/conductor/test-audit';
import { makeTestDeps } from '@cyborg/conductor/test-deps';
import { systemClock } from '@cyborg/service/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost } from '@cyborg/testing/fleet';
import { addProfile, addProvider } from '@cyborg/testing/providers';
import { it, onTestFinished } from 'vitest';

import { addImage, openTestGlance } from '../../../../packages/conductor/test/glance.ts';
import { addServer, openTestOpenStack } from '../../../../packages/conductor/test/openstack.ts';
import { composeConductor } from '../compose.ts';
import { basicAuth, openTestApp } from '../test-app.ts';
import { bootWithSlowBind, type NovaCall } from './test-nova-conversations.ts';

const profile = 'testdp';
const inTime = { timeout: 40_000, interval: 10 };

async function openScene() {
  const [database, cloud, glance] = [
    await openTestDatabase(),
    await openTestOpenStack(),
    await openTestGlance(),
  ];
  const { nova } = cloud.openstack;
  if (nova === undefined) throw new Error('there is no Nova');
  const { db } = database;
  const deps = {
    ...makeTestDeps({ db, clock: systemClock }, { bindInlineSeconds: 0.2 }),
    openstack: { nova, glance: glance.glance },
  };
  const { v2 } = composeConductor(deps);
  const server = await openTestApp(database, { conductor: deps, v2 });
  const running = startReconcilers(deps, [...programReconcilers(deps), sendNovaEvents(deps, nova)]);
  onTestFinished(async () => {
    await running.stop();
    await server[Symbol.asyncDispose]();
    await glance[Symbol.asyncDispose]();
    await cloud[Symbol.asyncDispose]();
  });
  const host = await addHost(db, { name: 'node-1', node_name: 'vm' });
  const { rpUuid } = await addProvider(db, await addBackend(db, host), { count: 1 });
  const { id: image } = addImage(glance);
  await addProfile(db, {
    name: profile,
    groups: [{ 'resources:FPGA': '1', 'accel:bitstream_id': image }],
  });
  await startAudit(db);
  return { server, deps, host, rpUuid, cloud };
}

it('a boot with a slow bind and a delete, as it was recorded, is answered so that it goes on', async ({
  expect,
}) => {
  const { server, deps, host, rpUuid, cloud } = await openScene();
  const instance = crypto.randomUUID();
  addServer(cloud, instance);
  let arq = '';
  const bodyOf = (body: NovaCall['body']): object | undefined => {
    if (body === undefined) return undefined;
    if (body === 'profile') return { device_profile_name: profile };
    const values = { hostname: 'vm', device_rp_uuid: rpUuid, instance_uuid: instance };
    return {
      [arq]: Object.entries(values).map(([k, value]) => ({ path: `/${k}`, op: 'add', value })),
    };
  };
  const ask = async ({ by, method, path, body, codes }: NovaCall): Promise<unknown> => {
    const payload = bodyOf(body);
    const answer = await server.app.inject({
      method,
      url: path.replace('{profile}', profile).replace('{instance}', instance),
      headers: {
        authorization: basicAuth('member-by-nova'),
        'user-agent': `${by} keystoneauth1/5.0.0 python-requests/2.28.1 CPython/3.11.2`,
        accept: '*/*',
      },
      ...(payload && { payload }),
    });
    expect(codes, `${method} ${path}: ${answer.body}`).toContain(answer.statusCode);
    return answer.body === '' ? null : answer.json();
  };
  for (const step of bootWithSlowBind) {
    if ('event' in step) {
      expect(cloud.accepted).toEqual([]);
      await expect.poll(async () => (await ordersOf(deps, host)).length, inTime).toBe(1);
      await obey(deps, host);
      await expect.poll(() => cloud.accepted, inTime).toEqual([arq]);
      continue;
    }
    const view = await ask(step.call);
    if (step.call.method === 'POST') arq = (view as { arqs: { uuid: string }[] }).arqs[0]!.uuid;
    if (step.state === undefined) continue;
    const isBound = step.state === 'Bound';
    expect(view).toMatchObject({
      arqs: [
        {
          uuid: arq,
          state: step.state,
          device_profile_name: profile,
          device_profile_group_id: 0,
          hostname: 'vm',
          device_rp_uuid: rpUuid,
          instance_uuid: instance,
          ...(isBound && { attach_handle_type: 'TEST_PCI' }),
          attach_handle_info: isBound ? { domain: '0000', bus: '0c' } : {},
        },
      ],
    });
  }
  await obey(deps, host);
  expect(await deps.db.selectFrom('accelerator').select('state').execute()).toEqual([
    { state: 'available' },
  ]);
  expect(await brokenInvariants(deps.db)).toEqual([]);
  expect(await changesWithoutEvent(deps.db)).toEqual([]);
});

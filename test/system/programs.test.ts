/** Program images from a Glance, through real servers and agents, into the fake driver's card. */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { uuid3 } from '@cyborg/model/v2/provider';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { addImage, openTestGlance, type TestGlance } from '../../packages/conductor/test/glance.ts';
import { Fleet, type Host } from './fleet.ts';

interface Answer {
  readonly status: number;
  readonly text: string;
}

interface Scene extends AsyncDisposable {
  readonly fleet: Fleet;
  readonly host: Host;
  readonly glance: TestGlance;
  readonly serverArgs: readonly string[];
}

const rpUuid = uuid3('peerhost_FakeDevice');

async function openScene(
  config: Record<string, unknown>,
  more: readonly string[] = [],
): Promise<Scene> {
  const glance = await openTestGlance();
  const fleet = await Fleet.open();
  const password = join(fleet.folder, 'password');
  writeFileSync(password, 'secret', { mode: 0o600 });
  const keystone = ['--keystone-url', glance.url, '--keystone-password-file', password];
  const serverArgs = [
    ...keystone,
    '--nova',
    'off',
    '--placement',
    'off',
    '--keystone-interface',
    'public',
    ...more,
  ];
  await fleet.startServer({ args: serverArgs });
  const [host] = await fleet.addHosts(['peerhost'], { args: ['--inventory-interval', '2'] });
  if (host === undefined) throw new Error('no host');
  const backends = [{ name: 'card', kind: 'card', config }];
  await fleet.done(fleet.v3.installDriver({ params: { driver_id: 'fake' }, body: { backends } }));
  return {
    fleet,
    host,
    glance,
    serverArgs,
    async [Symbol.asyncDispose]() {
      await fleet[Symbol.asyncDispose]();
      await glance[Symbol.asyncDispose]();
    },
  };
}

async function ask(
  { fleet }: Scene,
  [method, path]: readonly [string, string],
  body?: unknown,
): Promise<Answer> {
  const answer = await fetch(`${fleet.url}/accelerator/v2${path}`, {
    method,
    headers: {
      'openstack-api-version': 'accelerator 2.3',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(100_000),
  });
  return { status: answer.status, text: await answer.text() };
}

function parsed<T>({ text }: Answer): T {
  return JSON.parse(text) as T;
}

interface Arq {
  readonly uuid: string;
  readonly state: string;
  readonly attach_handle_type: string;
}

/** The calls of `boot-async-bind-and-delete`, up to the bind. */
async function request(scene: Scene, imageId: string): Promise<{ arq: string; body: object }> {
  const name = `p-${randomUUID()}`;
  const groups = [{ 'resources:FPGA': '1', 'accel:bitstream_id': imageId }];
  await ask(scene, ['POST', '/device_profiles'], [{ name, groups }]);
  await ask(scene, ['GET', `/device_profiles?name=${name}`]);
  const made = await ask(scene, ['POST', '/accelerator_requests'], { device_profile_name: name });
  const arq = parsed<{ arqs: Arq[] }>(made).arqs[0]?.uuid ?? '';
  const add = (path: string, value: string): object => ({ path, op: 'add', value });
  const patches = [
    add('/hostname', 'peerhost'),
    add('/device_rp_uuid', rpUuid),
    add('/instance_uuid', randomUUID()),
  ];
  return { arq, body: { [arq]: patches } };
}

async function arqOf(scene: Scene, id: string): Promise<Arq> {
  return parsed(await ask(scene, ['GET', `/accelerator_requests/${id}`]));
}

async function untilState(scene: Scene, id: string, state: string): Promise<Arq> {
  return eventually(
    async () => {
      const arq = await arqOf(scene, id);
      return arq.state === state && arq;
    },
    { timeoutMs: 90_000, what: `${id} is ${state}`, context: () => scene.fleet.logs() },
  );
}

async function untilWriting({ fleet }: Scene): Promise<void> {
  await eventually(
    async () => {
      const row = await fleet.db
        .selectFrom('programming')
        .select('id')
        .where('progress_percent', '>', 0)
        .executeTakeFirst();
      return row !== undefined;
    },
    { timeoutMs: 60_000, what: 'the driver writes', context: () => fleet.logs() },
  );
}

describe('a driver that cannot write images', () => {
  it('refuses, and its card stays as it is', async ({ expect }) => {
    await using scene = await openScene({ count: 1 });
    const { fleet, glance } = scene;
    await fleet.installVirtual(['peerhost'], { crypto: 2 });
    const generic = await fleet.db
      .selectFrom('deployable')
      .innerJoin('device', 'device.id', 'deployable.device_id')
      .innerJoin('backend', 'backend.id', 'device.backend_id')
      .select('deployable.id')
      .where('backend.driver_id', '=', 'generic')
      .where('deployable.in_v2', '=', true)
      .executeTakeFirstOrThrow();
    const value = [{ image_uuid: addImage(glance).id }];
    const body = [{ path: '/bitstream_id', op: 'replace', value }];
    const answer = await ask(scene, ['PATCH', `/deployables/${generic.id}/program`], body);
    expect(answer).toMatchObject({ status: 500, text: expect.stringContaining('has no update') });
    const states = (await fleet.accelerators({ driver_id: 'generic' })).map(({ state }) => state);
    expect(states).not.toContain('withheld');
    expect(states).not.toContain('updating');
  });
});

describe('a bind that writes a program image', () => {
  it('is answered after it when it takes 2 s; deleting it frees the card', async ({ expect }) => {
    await using scene = await openScene({ count: 2, program_seconds: 2 });
    const image = addImage(
      scene.glance,
      { 'accel:function_id': 'f-1' },
      Buffer.alloc(3_000_001, 7),
    );
    const { arq, body } = await request(scene, image.id);
    expect(await ask(scene, ['PATCH', '/accelerator_requests'], body)).toMatchObject({
      status: 202,
    });
    expect(await arqOf(scene, arq)).toMatchObject({
      state: 'Bound',
      attach_handle_type: 'TEST_PCI',
    });
    const [deployable] = parsed<{
      deployables: { uuid: string; bitstream_id: string; attributes_list: string }[];
    }>(await ask(scene, ['GET', '/deployables'])).deployables;
    expect(deployable).toMatchObject({ bitstream_id: image.id });
    const program = [{ path: '/bitstream_id', op: 'replace', value: [{ image_uuid: image.id }] }];
    const held = await ask(scene, ['PATCH', `/deployables/${deployable?.uuid}/program`], program);
    expect(held).toMatchObject({ status: 409, text: expect.stringContaining('is attached') });
    await ask(scene, ['DELETE', `/accelerator_requests?arqs=${arq}`]);
    await eventually(
      async () => (await scene.fleet.accelerators({ state: 'available' })).length === 2,
      { timeoutMs: 60_000, what: 'it is clean', context: () => scene.fleet.logs() },
    );
    const other = addImage(scene.glance);
    const again = [{ path: '/bitstream_id', op: 'replace', value: [{ image_uuid: other.id }] }];
    const written = await ask(scene, ['PATCH', `/deployables/${deployable?.uuid}/program`], again);
    expect(written).toMatchObject({ status: 200, text: expect.stringContaining(other.id) });
  });

  it('that fails is an error of the PATCH, and the card says why it is out', async ({ expect }) => {
    await using scene = await openScene({ count: 1, program_fails: true });
    const { arq, body } = await request(scene, addImage(scene.glance).id);
    expect(await ask(scene, ['PATCH', '/accelerator_requests'], body)).toMatchObject({
      status: 500,
      text: expect.stringContaining('as it was told to'),
    });
    expect(await arqOf(scene, arq)).toMatchObject({ state: 'BindFailed' });
    expect(await scene.fleet.accelerators()).toMatchObject([
      { state: 'withheld', reason: expect.stringContaining('programming failed') },
    ]);
  });

  it('goes on after its answer, and outlives server and agent', async ({ expect }) => {
    await using scene = await openScene({ count: 1, program_seconds: 4 }, ['--bind-inline', '1']);
    const { fleet, host, serverArgs } = scene;
    const { arq, body } = await request(scene, addImage(scene.glance).id);
    // It writes only after we have looked.
    host.agent?.child.kill('SIGSTOP');
    expect(await ask(scene, ['PATCH', '/accelerator_requests'], body)).toMatchObject({
      status: 202,
    });
    expect(await arqOf(scene, arq)).toMatchObject({ state: 'BindStarted' });
    host.agent?.child.kill('SIGCONT');
    await untilWriting(scene);
    await host.kill();
    host.start();
    await fleet.server?.end('SIGKILL');
    await fleet.startServer({ args: [...serverArgs] });
    expect(await untilState(scene, arq, 'Bound')).toMatchObject({ attach_handle_type: 'TEST_PCI' });
  });
});

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, it } from 'vitest';

import type { Accelerator, Attachment, Instance } from '@cyborg/api-spec/v3/accelerators';
import { eventually } from '@cyborg/testing/processes';

import { guardGuests } from './guest-guard.ts';
import { Guest, patientMs } from './guest.ts';
import { Installation } from './installation.ts';

const problem = guardGuests();

const done = { status: 0 };
const refused = { status: 1 };
const inState =
  (state: string) =>
  (accelerator: Accelerator): boolean =>
    accelerator.state === state;

describe.skipIf(problem !== null)('the main job on a real guest', () => {
  let cyborg: Installation;
  let guest: Guest;
  let stranger: Guest;
  let crypto: Accelerator;

  beforeAll(async () => {
    cyborg = await Installation.start();
    const boot = (name: string, project: string, more: string[] = []): Guest =>
      new Guest({ name, qmpDirectory: cyborg.qmpDir, uuid: randomUUID(), project, more });
    guest = boot('web', 'demo');
    stranger = boot('other', 'elsewhere', ['--', '-S']); // paused: it need not boot
    await guest.says(/^CYBORG-GUEST READY/);
    const areListed = async (): Promise<boolean> => {
      const { items } = await (await cyborg.admin()).listInstances({});
      return items.length === 2;
    };
    await eventually(areListed, { timeoutMs: patientMs, what: 'both are listed' });
  });
  afterAll(async () => {
    await guest?.kill();
    await stranger?.kill();
    await cyborg?.[Symbol.asyncDispose]();
  });

  /** The guest's console since an act began. */
  function listen(): (pattern: RegExp) => Promise<string> {
    const since = guest.lines.length;
    return (pattern) => guest.says(pattern, { since });
  }

  async function accelerators(): Promise<Accelerator[]> {
    return cyborg.json('admin', 'accelerator-list');
  }

  it('begins with an installed driver, and says so when it is installed again', async ({
    expect,
  }) => {
    const installed_version = expect.stringMatching(/^\d+\.\d+\.\d+/);
    expect(await cyborg.json('admin', 'driver-list')).toContainEqual(
      expect.objectContaining({ id: 'generic', installed_version }),
    );
    const again = await cyborg.cyborg('admin', 'install-driver generic');
    expect(again).toMatchObject(done);
    expect(again.stdout).toMatch(/already installed/i);
  });

  it('discovers, and lists services, backends and accelerators', async ({ expect }) => {
    expect(await cyborg.json('admin', 'discover-services')).toMatchObject({ state: 'succeeded' });
    const services = await cyborg.json('admin', 'service-list');
    for (const name of ['cyborg-api', 'cyborg-conductor', 'cyborg-agent']) {
      expect(services).toContainEqual(expect.objectContaining({ name, state: 'up' }));
    }
    for (const name of ['crypto.symmetric', 'random.entropy']) {
      const counts = { accelerators_total: 4, accelerators_free: 4 };
      expect(services).toContainEqual(expect.objectContaining({ name, state: 'up', ...counts }));
    }
    const backends = await cyborg.json('admin', 'backend-list');
    expect(backends).toContainEqual(expect.objectContaining({ name: 'virtual', state: 'ready' }));
    expect(backends).toContainEqual(expect.objectContaining({ name: 'pci', state: 'ready' }));
    const virtual = (await accelerators()).filter(({ backend }) => backend === 'virtual');
    expect(virtual.map(({ type }) => type).toSorted()).toEqual([
      ...Array.from({ length: 4 }, () => 'CRYPTO'),
      ...Array.from({ length: 4 }, () => 'ENTROPY'),
    ]);
    expect(virtual.every(inState('available'))).toBe(true);
    const [first] = virtual.filter(({ type }) => type === 'CRYPTO');
    if (first === undefined) throw new Error('there is no crypto accelerator');
    crypto = first;
  });

  it('shows the guest with its project to those who may see it', async ({ expect }) => {
    const all = await cyborg.json<Instance[]>('admin', 'instance-list');
    expect(all.map(({ name }) => name).toSorted()).toEqual(['other', 'web']);
    for (const persona of ['manager', 'member', 'reader'] as const) {
      expect(await cyborg.json(persona, 'instance-list')).toMatchObject([
        { name: 'web', state: 'ACTIVE', project_id: 'demo' },
      ]);
    }
  });

  it('asks for a choice when several kinds are free', async ({ expect }) => {
    const bare = await cyborg.cyborg('admin', 'attach-instance web');
    expect(bare).toMatchObject({ status: 2, stdout: '' });
    expect(bare.stderr).toMatch(/--accelerator.*CRYPTO.*ENTROPY/s);
  });

  it('attaches the accelerator that an admin chose, and the guest uses it', async ({ expect }) => {
    const says = listen();
    const attached = await cyborg.json('admin', `attach-instance web --accelerator ${crypto.id}`);
    expect(attached).toMatchObject({
      state: 'succeeded',
      accelerators: [{ id: crypto.id, state: 'attached', project_id: 'demo' }],
    });
    await says(/^CYBORG-PCI\+ 0000:[0-9a-f:.]+ 1af4:1054 virtio-pci$/);
    await says(/^CYBORG-CRYPTO ok virtio\d+ virtio\S* passed$/);
    const [held, ...others] = (await accelerators()).filter(inState('attached'));
    expect(held).toMatchObject({ id: crypto.id, host: expect.any(String) });
    expect(others).toEqual([]);
    const free = await cyborg.json<{ name: string }[]>('admin', 'service-list');
    expect(free.find(({ name }) => name === 'crypto.symmetric')).toMatchObject({
      accelerators_free: 3,
    });
  });

  it('refuses what is attached already, and to uninstall what is in use, with who uses it', async ({
    expect,
  }) => {
    const twice = await cyborg.cyborg('admin', `attach-instance other --accelerator ${crypto.id}`);
    expect(twice).toMatchObject(refused);
    expect(twice.stderr).toContain(guest.uuid);
    const uninstall = await cyborg.cyborg('admin', 'uninstall-driver generic');
    expect(uninstall).toMatchObject(refused);
    expect(uninstall.stderr).toContain(crypto.name);
    expect(uninstall.stderr).toContain(guest.uuid);
  });

  it('gives a member by profile, within the quota, what is its own', async ({ expect }) => {
    const group = 'resources:CUSTOM_CYBORG_ENTROPY=1';
    await cyborg.json('admin', `profile-create rng --group ${group}`);
    await cyborg.json('admin', 'quota-set demo --limit ENTROPY=1');
    const says = listen();
    const attached = await cyborg.json('member', 'attach-instance web --profile rng');
    expect(attached).toMatchObject({ accelerators: [{ type: 'ENTROPY', state: 'attached' }] });
    await says(/^CYBORG-PCI\+ 0000:[0-9a-f:.]+ 1af4:1044 virtio-pci$/);
    await says(/^CYBORG-HWRNG ok virtio_rng\.\d+ 16 bytes$/);
    const beyond = await cyborg.cyborg('member', 'attach-instance web --profile rng');
    expect(beyond).toMatchObject(refused);
    expect(beyond.stderr).toMatch(/quota/i);
    const foreign = await cyborg.cyborg('member', 'attach-instance other --profile rng');
    expect(foreign).toMatchObject(refused);
    expect(foreign.stderr).toMatch(/no instance "other"/);
  });

  it('refuses a reader whatever changes something', async ({ expect }) => {
    const acts = ['attach-instance web --profile rng', 'detach-instance web'];
    for (const act of [...acts, 'install-driver generic', 'quota-set demo --limit CRYPTO=9']) {
      const answer = await cyborg.cyborg('reader', act);
      expect(answer).toMatchObject(refused);
      expect(answer.stderr).toContain('not allowed for reader');
    }
    expect(await cyborg.json('reader', 'accelerator-list')).toHaveLength(2);
    expect(await cyborg.json('reader', 'attachment-list web')).toMatchObject([
      { state: 'attached', observed: 'plugged' },
      { state: 'attached', observed: 'plugged' },
    ] satisfies Partial<Attachment>[]);
  });

  it('takes a member its own away again, cleaned', async ({ expect }) => {
    const says = listen();
    const [entropy] = (await accelerators()).filter(
      ({ type, state }) => type === 'ENTROPY' && state === 'attached',
    );
    const detach = `detach-instance web --accelerator ${entropy?.id}`;
    expect(await cyborg.json('member', detach)).toMatchObject({ state: 'succeeded' });
    expect(await cyborg.json('admin', `accelerator-show ${entropy?.id}`)).toMatchObject({
      state: 'available',
      instance_id: null,
    });
    await says(/^CYBORG-PCI- 0000:[0-9a-f:.]+ 1af4:1044/);
    await says(/^CYBORG-HWRNG none$/);
  });

  it('lets a manager work where it was granted, and nowhere before', async ({ expect }) => {
    const [host] = await cyborg.json<{ name: string }[]>('admin', 'host-list');
    expect(await cyborg.json('manager', 'backend-list')).toEqual([]);
    for (const act of ['discover-services', 'install-driver generic']) {
      expect(await cyborg.cyborg('manager', act)).toMatchObject(refused);
    }
    await cyborg.json('admin', `grant-create demo --host ${host?.name}`);
    for (const act of ['discover-services', 'install-driver generic', 'update-driver generic']) {
      expect(await cyborg.json('manager', act)).toMatchObject({ state: 'succeeded' });
    }
    await cyborg.json('admin', 'quota-set demo --limit ENTROPY=unlimited');
    const says = listen();
    const attached = await cyborg.json('manager', 'attach-instance web --driver generic --count 2');
    expect(attached).toMatchObject({
      accelerators: [{ state: 'attached' }, { state: 'attached' }],
    });
    await says(/^CYBORG-PCI\+ /);
    const uninstall = await cyborg.cyborg('manager', 'uninstall-driver generic');
    expect(uninstall).toMatchObject(refused);
    expect(uninstall.stderr).toContain('in use');
  });

  it('takes all away, and the guest says so', async ({ expect }) => {
    const says = listen();
    expect(await cyborg.json('manager', 'detach-instance web')).toMatchObject({
      state: 'succeeded',
      progress: { done: 3, total: 3 },
    });
    expect((await accelerators()).every(inState('available'))).toBe(true);
    await says(/^CYBORG-PCI- 0000:[0-9a-f:.]+ 1af4:1054/);
    await says(/^CYBORG-CRYPTO none$/);
  });

  it('updates and uninstalls the driver at the end', async ({ expect }) => {
    expect(await cyborg.json('admin', 'update-driver generic')).toMatchObject({
      state: 'succeeded',
    });
    expect(await cyborg.json('admin', 'uninstall-driver generic')).toMatchObject({
      state: 'succeeded',
    });
    expect(await cyborg.json('admin', 'backend-list')).toEqual([]);
    expect(await cyborg.json('admin', 'driver-list')).toContainEqual(
      expect.objectContaining({ id: 'generic', installed_version: null }),
    );
    await eventually(() => cyborg.find('driver') === undefined, {
      timeoutMs: patientMs,
      what: 'no driver runs',
      context: () => cyborg.logs(),
    });
  });
});

import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';

import type { Event } from '@cyborg/api-spec/v3/access';
import type { Attachment } from '@cyborg/api-spec/v3/accelerators';
import { defaultLimits } from '@cyborg/conductor/limits';
import { systemClock } from '@cyborg/service/clock';
import { eventually } from '@cyborg/testing/processes';

import { guardGuests } from './guest-guard.ts';
import { patientMs } from './guest.ts';
import { Installation } from './installation.ts';
import { createProfiles, Scene } from './scene.ts';
import { settle } from './settled.ts';

const problem = guardGuests();

/** Seconds; far below the default, so that what must not be released has every opportunity. */
const vanishAfter = 1;
/** As long as several of the agent's looks and of the rule's seconds. */
const awhileMs = 3 * vanishAfter * 1000;
const leaseMs = defaultLimits.leaseSeconds * 1000;

describe.skipIf(problem !== null)('beside a guest that holds accelerators', () => {
  let cyborg: Installation;
  let scene: Scene;
  let held: Attachment[];
  let devices: string[];

  beforeAll(async () => {
    cyborg = await Installation.start(['--vanish-after', String(vanishAfter)]);
    scene = await Scene.open(cyborg, 'web');
    await createProfiles(cyborg);
    await scene.guest.says(/^CYBORG-GUEST READY/);
    await scene.attach('rng');
    await scene.attach('aes');
    ({ held } = await settle(scene));
    devices = await scene.witness.devices();
  });
  afterAll(async () => {
    await scene?.[Symbol.asyncDispose]();
    await cyborg?.[Symbol.asyncDispose]();
  });

  /** Whatever the guest says about a device that comes or goes since an act began. */
  function listen(): () => string[] {
    const since = scene.guest.lines.length;
    return () => scene.guest.lines.slice(since).filter((line) => /^CYBORG-PCI[+-]/.test(line));
  }

  it('a reboot keeps what it holds', async ({ expect }) => {
    const since = scene.guest.lines.length;
    scene.guest.type('reboot');
    await scene.guest.says(/^CYBORG-GUEST READY/, { since });
    await scene.guest.says(/^CYBORG-HWRNG ok/, { since });
    await scene.guest.says(/^CYBORG-CRYPTO ok/, { since });
    expect((await settle(scene)).held.map(({ id }) => id)).toEqual(held.map(({ id }) => id));
  });

  it('a server that is away for a while changes nothing in the guest', async ({ expect }) => {
    const heard = listen();
    await cyborg.program.end('SIGKILL');
    await systemClock.sleep(awhileMs);
    expect(await scene.witness.devices()).toEqual(devices);
    await cyborg.startAgain();
    expect((await settle(scene)).held).toMatchObject(held.map(({ id }) => ({ id })));
    expect(await scene.witness.devices()).toEqual(devices);
    expect(heard()).toEqual([]);
  });

  it('a server that hangs until the lease has run out changes nothing either', async ({
    expect,
  }) => {
    const heard = listen();
    process.kill(cyborg.program.pid, 'SIGSTOP');
    await systemClock.sleep(leaseMs + 1000);
    expect(await scene.witness.devices()).toEqual(devices);
    process.kill(cyborg.program.pid, 'SIGCONT');
    await cyborg.ready();
    expect((await settle(scene)).held).toMatchObject(held.map(({ id }) => ({ id })));
    expect(await scene.witness.devices()).toEqual(devices);
    expect(heard()).toEqual([]);
  });

  it('a QMP folder that disappears and comes back releases nothing', async ({ expect }) => {
    const heard = listen();
    const away = join(cyborg.stateDir, 'away');
    await rename(cyborg.qmpDir, away);
    await systemClock.sleep(awhileMs);
    const api = await cyborg.admin();
    const params = { instance_id: scene.guest.uuid };
    expect((await api.listAttachments({ params })).items).toHaveLength(held.length);
    expect(await scene.witness.devices()).toEqual(devices);
    await rename(away, cyborg.qmpDir);
    expect((await settle(scene)).held).toMatchObject(held.map(({ id }) => ({ id })));
    expect(await scene.witness.devices()).toEqual(devices);
    expect(heard()).toEqual([]);
  });

  it('an empty database unplugs nothing and shows what nobody claims', async ({ expect }) => {
    const heard = listen();
    await cyborg.program.end();
    await rm(join(cyborg.stateDir, 'postgres'), { recursive: true });
    await rm(join(cyborg.stateDir, 'first-run.json'));
    await cyborg.startAgain();
    await expectUnclaimed(expect);
    await systemClock.sleep(awhileMs);
    await expectUnclaimed(expect);
    expect(await scene.witness.devices()).toEqual(devices);
    expect(heard()).toEqual([]);
  });

  it('a new installation with a new agent unplugs nothing either', async ({ expect }) => {
    const heard = listen();
    await cyborg.program.end();
    await using other = await Installation.start(['--vanish-after', String(vanishAfter)]);
    await rm(other.qmpDir, { recursive: true });
    await rename(cyborg.qmpDir, other.qmpDir);
    scene.cyborg = other;
    try {
      await expectUnclaimed(expect);
      await systemClock.sleep(awhileMs);
      await expectUnclaimed(expect);
      expect(await scene.witness.devices()).toEqual(devices);
      expect(heard()).toEqual([]);
    } finally {
      await other.program.end();
      await rename(other.qmpDir, cyborg.qmpDir);
      scene.cyborg = cyborg;
    }
    await cyborg.startAgain();
    await expectUnclaimed(expect);
  });

  it('an operator adopts one of them and releases the other', async ({ expect }) => {
    const api = await cyborg.admin();
    const ofRng = held.find(({ accelerator_type: type }) => type === 'ENTROPY');
    const { items } = await api.listUnclaimed({});
    const random = items.find(({ device_name: name }) => name === ofRng?.device_name);
    const crypto = items.find(({ id }) => id !== random?.id);
    const { id: accelerator } = await eventually(
      async () => (await api.listAccelerators({ query: { type: 'ENTROPY' } })).items[0],
      { timeoutMs: patientMs, what: 'a source of entropy is listed' },
    );
    const body = { accelerator };
    await api.adoptUnclaimed({ params: { id: random?.id ?? '' }, body });
    await api.releaseUnclaimed({ params: { id: crypto?.id ?? '' } });
    await scene.guest.says(/^CYBORG-CRYPTO none/);
    await eventually(async () => (await api.listUnclaimed({})).items.length === 0, {
      timeoutMs: patientMs,
      what: 'nothing is unclaimed',
      context: () => cyborg.logs(),
    });
    expect((await settle(scene)).held).toMatchObject([
      { accelerator_id: body.accelerator, device_name: random?.device_name },
    ]);
    await scene.detach();
    expect((await settle(scene)).held).toEqual([]);
    await scene.guest.says(/^CYBORG-HWRNG none/);
  });

  async function expectUnclaimed(expect: Expect): Promise<void> {
    const api = await scene.cyborg.admin();
    const [names, items] = await eventually(
      async () => {
        const { items: unclaimed } = await api.listUnclaimed({});
        const { items: instances } = await api.listInstances({});
        const found = unclaimed.map(({ device_name: name }) => name);
        return found.length >= devices.length && instances.length > 0 && [found, instances];
      },
      { timeoutMs: patientMs, what: 'both are unclaimed', context: () => scene.cyborg.logs() },
    );
    expect(names.toSorted()).toEqual(devices);
    expect(items).toMatchObject([{ id: scene.guest.uuid, attachments_total: 0 }]);
  }
});

type Expect = (typeof import('vitest'))['expect'];

describe.skipIf(problem !== null)('kill -9 of QEMU', { retry: 0 }, () => {
  let cyborg: Installation;

  beforeAll(async () => {
    cyborg = await Installation.start(['--vanish-after', String(vanishAfter)]);
    await createProfiles(cyborg);
  });
  afterAll(async () => {
    await cyborg?.[Symbol.asyncDispose]();
  });

  async function released(scene: Scene): Promise<void> {
    const api = await cyborg.admin();
    let left = '';
    await eventually(
      async () => {
        const params = { instance_id: scene.guest.uuid };
        const { items } = await api.listAttachments({ params });
        const { items: operations } = await api.listOperations({ query: { limit: 10 } });
        const { items: accelerators } = await api.listAccelerators({});
        const open = operations.filter(({ finished_at: at }) => at === null);
        const taken = accelerators.filter(({ state }) => state !== 'available');
        left = JSON.stringify({ items, open, taken }, null, 1);
        return items.length + open.length + taken.length === 0;
      },
      {
        timeoutMs: patientMs,
        what: 'all is available again',
        context: () => `${left}\n${cyborg.logs()}`,
      },
    );
  }

  it('in the middle of an attach ends it and gives the accelerator back', async ({ expect }) => {
    await using scene = await Scene.open(cyborg, 'first');
    const operation = await scene.attach();
    await scene.guest.kill();
    const startedMs = systemClock.monotonicMs();
    await released(scene);
    console.log(`released after ${Math.round(systemClock.monotonicMs() - startedMs)} ms`);
    expect((await scene.endOf(operation)).state).toMatch(/^(succeeded|failed)$/);
  });

  it('in the middle of a detach ends it, cleaned', async ({ expect }) => {
    await using scene = await Scene.open(cyborg, 'second');
    await scene.guest.says(/^CYBORG-GUEST READY/);
    await scene.attach();
    await settle(scene);
    const operation = await scene.detach();
    await scene.guest.kill();
    const startedMs = systemClock.monotonicMs();
    await released(scene);
    console.log(`released after ${Math.round(systemClock.monotonicMs() - startedMs)} ms`);
    expect((await scene.endOf(operation)).state).toBe('succeeded');
  });

  it('keeps the attachment until the rule says that the instance vanished', async ({ expect }) => {
    await using scene = await Scene.open(cyborg, 'third');
    await scene.guest.says(/^CYBORG-GUEST READY/);
    await scene.attach();
    const { held } = await settle(scene);
    await scene.guest.kill();
    const startedMs = systemClock.monotonicMs();
    const api = await cyborg.admin();
    const params = { instance_id: scene.guest.uuid };
    await eventually(async () => (await api.showInstance({ params })).presence !== 'present', {
      timeoutMs: patientMs,
      what: 'the instance is missed',
      context: () => cyborg.logs(),
    });
    await systemClock.sleep(vanishAfter * 1000);
    await using _next = await Scene.open(cyborg, 'fourth'); // has the agent look again at once
    await released(scene);
    console.log(`released after ${Math.round(systemClock.monotonicMs() - startedMs)} ms`);
    // In the order in which it happened: a look at the API may come too late.
    const missing = await firstEvent(scene.guest.uuid, 'instance.missing');
    const vanished = await firstEvent(scene.guest.uuid, 'instance.vanished');
    expect(Date.parse(vanished.at) - Date.parse(missing.at)).toBeGreaterThanOrEqual(
      vanishAfter * 1000,
    );
    const { items } = await api.listEvents({ query: { subject_id: held[0]?.id ?? '' } });
    const changes = items.filter(({ kind }) => kind !== 'attachment.observed');
    expect(changes.at(-1)?.kind).toBe('attachment.released');
    expect(changes.findLast(({ number }) => number < vanished.number)?.kind).toBe(
      'attachment.attached',
    );
  });

  async function firstEvent(subject: string, kind: string): Promise<Event> {
    const api = await cyborg.admin();
    const { items } = await api.listEvents({ query: { subject_id: subject, kind } });
    const [first] = items;
    if (first === undefined) throw new Error(`there is no event ${kind} of ${subject}`);
    return first;
  }
});

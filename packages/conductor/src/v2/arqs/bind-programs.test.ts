import { createHash } from 'node:crypto';

import { addProfile } from '@cyborg/testing/providers';
import { readImagePieces } from '@cyborg/store/staged-images';
import { describe, it, type ExpectStatic } from 'vitest';

import { hostPrints } from '../../agents/desired.ts';
import type { ConductorDeps } from '../../deps.ts';
import type { ConductorLimits } from '../../limits.ts';
import type { OrderView } from '../../orders/orders.ts';
import { programReconcilers } from '../../programs/reconcilers.ts';
import { recheckWaiting } from '../../recheck.ts';
import { startReconcilers, type RunningReconcilers } from '../../runner.ts';
import { brokenInvariants, changesWithoutEvent } from '../../test-audit.ts';
import { obey, ordersOf, outcomeOf, report } from '../../test-agent.ts';
import { addImage, openTestGlance, type TestGlance } from '../../../test/glance.ts';
import {
  bind,
  listed,
  make,
  member,
  open,
  openBench,
  states,
  unbind,
} from '../../../test/requests.ts';
import type { Bench } from '../../../test/requests.ts';
import { makeArqHandlers } from './handlers.ts';
import { makeV2Handlers } from '../handlers.ts';

interface ProgramBench extends Bench {
  readonly glance: TestGlance;
  readonly start: () => RunningReconcilers;
}

const inTime = { timeout: 40_000, interval: 10 };

async function openProgramBench(
  count: number,
  limits: Partial<ConductorLimits> = {},
): Promise<ProgramBench> {
  const bench = await openBench(count, {
    stagingRetryMaxMs: 50,
    recheckMs: 200,
    hostsReturnSeconds: 0,
    ...limits,
  });
  const glance = await openTestGlance();
  const deps: ConductorDeps = {
    ...bench.deps,
    openstack: { ...bench.deps.openstack, glance: glance.glance },
  };
  const running: RunningReconcilers[] = [];
  return {
    ...bench,
    deps,
    glance,
    arqs: makeArqHandlers(deps),
    start() {
      const work = programReconcilers(deps);
      const all = [...work, recheckWaiting(deps, { hostPrints, work })];
      const started = startReconcilers(deps, all);
      running.push(started);
      return started;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(running.map((one) => one.stop()));
      await glance[Symbol.asyncDispose]();
      await bench[Symbol.asyncDispose]();
    },
  };
}

async function addProgramProfile(
  { db }: ProgramBench,
  group: Readonly<Record<string, string>>,
  name = 'programmed',
): Promise<string> {
  await addProfile(db, { name, groups: [{ 'resources:FPGA': '1', ...group }] });
  return name;
}

/** Waits until the host is told to write an image. */
async function updateOf({ deps, host }: ProgramBench, expect: ExpectStatic): Promise<OrderView> {
  return expect
    .poll(async () => (await ordersOf(deps, host)).find(({ kind }) => kind === 'update'), inTime)
    .toBeDefined()
    .then(async () => (await ordersOf(deps, host)).find(({ kind }) => kind === 'update')!);
}

function deployableOf({ db, provider }: ProgramBench): Promise<{
  bitstream_id: string | null;
  function_id: string | null;
  traits: readonly string[];
}> {
  return db
    .selectFrom('deployable')
    .select(['bitstream_id', 'function_id', 'traits'])
    .where('id', '=', provider.deployableId)
    .executeTakeFirstOrThrow();
}

async function bytesOf(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

async function stateOf(bench: ProgramBench, id: string): Promise<string> {
  return (await bench.arqs.show(member, id)).state;
}

describe('a bind whose profile names a program image', () => {
  it('is answered when the image is in the card', async ({ expect }) => {
    await using bench = await openProgramBench(2);
    const { db, deps, host } = bench;
    const image = addImage(bench.glance, { 'accel:function_id': 'aes-1' });
    const ids = await make(
      bench,
      await addProgramProfile(bench, { 'accel:bitstream_id': image.id }),
    );
    bench.start();
    const instance = crypto.randomUUID();
    const bound = bind(bench, ids, { instance });
    const order = await updateOf(bench, expect);
    expect(await stateOf(bench, ids[0]!)).toBe('BindStarted');
    expect(await bench.arqs.list(member, { instanceId: instance, isResolved: true })).toBe(
      undefined,
    );
    expect(await states(bench)).toEqual(expect.arrayContaining(['reserved', 'updating']));
    const sha256 = createHash('sha256').update(image.bytes).digest('hex');
    expect(order).toMatchObject({
      attachment_id: null,
      image: { sha256, others: [expect.any(String)] },
    });
    const staged = await db.selectFrom('staged_image').selectAll().executeTakeFirstOrThrow();
    expect(await bytesOf(readImagePieces(db, staged))).toEqual(image.bytes);
    expect(await brokenInvariants(db)).toEqual([]);

    await report(deps, host, [outcomeOf(order)]);
    await bound;
    expect(await stateOf(bench, ids[0]!)).toBe('Bound');
    expect((await states(bench)).toSorted()).toEqual(['attached', 'available']);
    expect(await deployableOf(bench)).toEqual({
      bitstream_id: image.id,
      function_id: 'aes-1',
      traits: ['CUSTOM_FPGA_FUNCTION_ID_GENERIC_AES_1'],
    });
    expect(await db.selectFrom('nova_event').selectAll().execute()).toMatchObject([
      { attachment_id: ids[0], instance_id: instance, status: 'completed' },
    ]);
    expect(await brokenInvariants(db)).toEqual([]);
    expect(await changesWithoutEvent(db)).toEqual([]);

    // What is in the card already is not written again, and nobody asks Glance.
    bench.glance.isAway = true;
    const more = await make(bench, 'programmed');
    await bind(bench, more);
    expect(await stateOf(bench, more[0]!)).toBe('Bound');
    expect(bench.glance.downloads).toBe(1);
  });

  it('goes on after its answer when it takes longer, and Nova is told', async ({ expect }) => {
    await using bench = await openProgramBench(1, { bindInlineSeconds: 0.2 });
    const image = addImage(bench.glance, { 'accel:function_id': 'aes-2' });
    const ids = await make(bench, await addProgramProfile(bench, { 'accel:function_id': 'aes-2' }));
    bench.start();
    await bind(bench, ids);
    expect(await stateOf(bench, ids[0]!)).toBe('BindStarted');
    const order = await updateOf(bench, expect);
    await report(bench.deps, bench.host, [outcomeOf(order, { outcome: 'retrying', percent: 40 })]);
    const row = await bench.db.selectFrom('programming').selectAll().executeTakeFirstOrThrow();
    expect(row).toMatchObject({ state: 'writing', progress_percent: 40 });
    expect(await bench.db.selectFrom('nova_event').selectAll().execute()).toEqual([]);
    await report(bench.deps, bench.host, [outcomeOf(order)]);
    expect(await stateOf(bench, ids[0]!)).toBe('Bound');
    expect(await deployableOf(bench)).toMatchObject({ bitstream_id: image.id });
    expect(await bench.db.selectFrom('nova_event').selectAll().execute()).toMatchObject([
      { attachment_id: ids[0], status: 'completed' },
    ]);
  });

  it('that fails while it is held is an error of the PATCH, and the card is withheld', async ({
    expect,
  }) => {
    await using bench = await openProgramBench(2);
    const { deps, host, db } = bench;
    const image = addImage(bench.glance);
    const ids = await make(
      bench,
      await addProgramProfile(bench, { 'accel:bitstream_id': image.id }),
    );
    bench.start();
    const bound = bind(bench, ids).then(
      () => undefined,
      (error: unknown) => error,
    );
    const order = await updateOf(bench, expect);
    await report(deps, host, [outcomeOf(order, { outcome: 'update_failed', message: 'bad CRC.' })]);
    expect(await bound).toMatchObject({
      status: 500,
      message: 'FPGA programming failed with return bad CRC.',
    });
    expect(await stateOf(bench, ids[0]!)).toBe('BindFailed');
    await expect(bind(bench, ids)).rejects.toMatchObject({
      status: 500,
      message: `Bad state: BindFailed for ARQ: ${ids[0]}. Expected state(s): ['Initial', 'Unbound']`,
    });
    expect(await db.selectFrom('nova_event').selectAll().execute()).toEqual([]);
    const rows = await db.selectFrom('accelerator').select(['state', 'reason']).execute();
    expect(rows).toEqual(
      Array.from({ length: 2 }, () => ({
        state: 'withheld',
        reason: 'programming failed: bad CRC. Program it again.',
      })),
    );
    expect(await brokenInvariants(db)).toEqual([]);
    expect(await changesWithoutEvent(db)).toEqual([]);

    // The way out: another image, by hand. Then it can be given again.
    const good = addImage(bench.glance);
    const { deployables } = makeV2Handlers(deps);
    const body = [{ path: '/bitstream_id', op: 'replace', value: [{ image_uuid: good.id }] }];
    const programmed = deployables.programDeployable(member, {
      id: bench.provider.deployableId,
      body,
    });
    await report(deps, host, [outcomeOf(await updateOf(bench, expect))]);
    expect(await programmed).toMatchObject({ bitstream_id: good.id });
    expect(await states(bench)).toEqual(['available', 'available']);
    await unbind(bench, ids[0]!);
    expect(await stateOf(bench, ids[0]!)).toBe('Unbound');
    await bench.arqs.remove(member, ids);
    expect(await listed(bench, member)).toEqual([]);
  });

  it('that fails after its answer looks as if it went on until Nova has heard of it', async ({
    expect,
  }) => {
    await using bench = await openProgramBench(1, { bindInlineSeconds: 0.1 });
    const { deps, host, db } = bench;
    const image = addImage(bench.glance);
    const ids = await make(
      bench,
      await addProgramProfile(bench, { 'accel:bitstream_id': image.id }),
    );
    bench.start();
    const instance = crypto.randomUUID();
    await bind(bench, ids, { instance });
    const order = await updateOf(bench, expect);
    await report(deps, host, [outcomeOf(order, { outcome: 'update_failed', message: 'no power' })]);
    expect(await db.selectFrom('nova_event').selectAll().execute()).toMatchObject([
      { attachment_id: ids[0], instance_id: instance, status: 'failed' },
    ]);
    expect(await stateOf(bench, ids[0]!)).toBe('BindStarted');
    const resolved = { instanceId: instance, isResolved: true };
    expect(await bench.arqs.list(member, resolved)).toBe(undefined);
    expect(await listed(bench, member, { isResolved: true }), 'shown as BindStarted').toEqual([]);
    await db.deleteFrom('nova_event').execute();
    expect(await listed(bench, member, { isResolved: true })).toHaveLength(1);
    expect(await stateOf(bench, ids[0]!)).toBe('BindFailed');
    await bench.arqs.removeOfInstance(member, instance);
    expect(await listed(bench, member)).toEqual([]);
    expect(await brokenInvariants(db)).toEqual([]);
  });

  it('is refused, with nothing changed, for what can be known at once', async ({ expect }) => {
    await using bench = await openProgramBench(1);
    const image = addImage(bench.glance, { 'accel:function_id': 'twice' });
    addImage(bench.glance, { 'accel:function_id': 'twice' });
    const queued = addImage(bench.glance);
    queued.status = 'queued';
    const profiles: [Record<string, string>, object][] = [
      [{ 'accel:bitstream_id': image.id, 'accel:function_id': 'x' }, { status: 400 }],
      [{ 'accel:bitstream_id': 'nonsense' }, { status: 400 }],
      [{ 'accel:bitstream_id': crypto.randomUUID() }, { status: 404 }],
      [{ 'accel:function_id': 'nobody' }, { status: 404 }],
      [{ 'accel:function_id': 'twice' }, { status: 409 }],
      [{ 'accel:bitstream_id': queued.id }, { status: 400 }],
    ];
    for (const [index, [group, fault]] of profiles.entries()) {
      const ids = await make(bench, await addProgramProfile(bench, group, `p${index}`));
      await expect(bind(bench, ids)).rejects.toMatchObject(fault);
      expect(await stateOf(bench, ids[0]!)).toBe('Initial');
    }
    bench.glance.isAway = true;
    const ids = await make(bench, 'p3');
    await expect(bind(bench, ids)).rejects.toMatchObject({ status: 503 });
    expect(await states(bench)).toEqual(['available']);
    expect(await bench.db.selectFrom('programming').selectAll().execute()).toEqual([]);
  });

  it('says nothing of the image of another project', async ({ expect }) => {
    await using bench = await openProgramBench(1);
    const profile = await addProgramProfile(bench, { 'accel:bitstream_id': 'nonsense' });
    const ids = await make(bench, profile);
    await bench.db.updateTable('attachment').set({ project_id: 'another' }).execute();
    await expect(bind(bench, ids)).rejects.toMatchObject({
      status: 404,
      message: `ExtArq not found with uuid=${ids[0]}`,
    });
  });

  it('is refused while another instance has a part of the card', async ({ expect }) => {
    await using bench = await openProgramBench(2);
    await bind(bench, await make(bench));
    const image = addImage(bench.glance);
    const ids = await make(
      bench,
      await addProgramProfile(bench, { 'accel:bitstream_id': image.id }),
    );
    await expect(bind(bench, ids)).rejects.toMatchObject({
      status: 409,
      message: expect.stringContaining('is attached'),
    });
    expect((await states(bench)).toSorted()).toEqual(['attached', 'available']);
  });

  it('waits for a Glance that is away, and gives up on wrong bytes without touching the card', async ({
    expect,
  }) => {
    await using bench = await openProgramBench(1);
    const image = addImage(bench.glance);
    const ids = await make(
      bench,
      await addProgramProfile(bench, { 'accel:bitstream_id': image.id }),
    );
    const bound = bind(bench, ids);
    await expect.poll(() => stateOf(bench, ids[0]!), inTime).toBe('BindStarted');
    bench.glance.isAway = true;
    bench.start();
    const attempts = async (): Promise<number> =>
      (await bench.db.selectFrom('programming').select('attempts').executeTakeFirstOrThrow())
        .attempts;
    await expect.poll(attempts, inTime).toBeGreaterThan(1);
    bench.glance.isAway = false;
    await report(bench.deps, bench.host, [outcomeOf(await updateOf(bench, expect))]);
    await bound;
    await bench.arqs.remove(member, ids);
    await obey(bench.deps, bench.host);

    const spoilt = addImage(bench.glance);
    spoilt.hash = 'f'.repeat(128);
    const group = { 'accel:bitstream_id': spoilt.id };
    const others = await make(bench, await addProgramProfile(bench, group, 'spoilt'));
    await expect(bind(bench, others)).rejects.toMatchObject({
      status: 500,
      message: expect.stringContaining('sha512'),
    });
    expect(await states(bench)).toEqual(['available']);
    expect(await deployableOf(bench)).toMatchObject({ bitstream_id: image.id });
    const kept = await bench.db.selectFrom('staged_image').select('image_id').execute();
    expect(kept).toEqual([{ image_id: image.id }]);
  });

  it('that is deleted half-way leaves the writing to its end, and the card to others', async ({
    expect,
  }) => {
    await using bench = await openProgramBench(2, { bindInlineSeconds: 0.1 });
    const { deps, host, db } = bench;
    const image = addImage(bench.glance);
    const ids = await make(
      bench,
      await addProgramProfile(bench, { 'accel:bitstream_id': image.id }),
    );
    bench.start();
    await bind(bench, ids);
    const order = await updateOf(bench, expect);
    await bench.arqs.remove(member, ids);
    expect(await states(bench)).toEqual(['updating', 'updating']);
    expect(await brokenInvariants(db)).toEqual([]);
    await report(deps, host, [outcomeOf(order)]);
    expect(await states(bench)).toEqual(['available', 'available']);
    expect(await db.selectFrom('nova_event').selectAll().execute()).toEqual([]);
    await report(deps, host, [outcomeOf(order, { outcome: 'update_failed' })]);
    expect(await states(bench)).toEqual(['available', 'available']);
    expect(await deployableOf(bench)).toMatchObject({ bitstream_id: image.id });
    expect(await changesWithoutEvent(db)).toEqual([]);
  });

  it('is taken up by another conductor when the first dies while it fetches', async ({
    expect,
  }) => {
    await using bench = await openProgramBench(1, { claimSeconds: 0.4 });
    const image = addImage(bench.glance);
    const ids = await make(
      bench,
      await addProgramProfile(bench, { 'accel:bitstream_id': image.id }),
    );
    const gone = new AbortController();
    const body = { [ids[0]!]: patchesOf(bench) };
    const held = bench.arqs.patch({ caller: member, body, minor: 0, signal: gone.signal });
    await expect.poll(() => stateOf(bench, ids[0]!), inTime).toBe('BindStarted');
    // A conductor that has claimed it and says nothing more.
    await bench.db
      .updateTable('programming')
      .set({
        claimed_by: crypto.randomUUID(),
        claim_expires_at: new Date(bench.deps.clock.now().getTime() + 400),
      })
      .execute();
    // The server that held the PATCH goes, too.
    gone.abort();
    await held;
    bench.start();
    const order = await updateOf(bench, expect);
    await report(bench.deps, bench.host, [outcomeOf(order)]);
    expect(await stateOf(bench, ids[0]!)).toBe('Bound');
  });

  it('fails when its host does not write it in time, and what comes late does not count', async ({
    expect,
  }) => {
    await using bench = await openProgramBench(1, {
      bindInlineSeconds: 0.1,
      programDeadlineSeconds: 3600,
    });
    const image = addImage(bench.glance);
    const ids = await make(
      bench,
      await addProgramProfile(bench, { 'accel:bitstream_id': image.id }),
    );
    bench.start();
    await bind(bench, ids);
    const order = await updateOf(bench, expect);
    // Its time is over.
    await bench.db
      .updateTable('programming')
      .set({ deadline_at: bench.deps.clock.now() })
      .execute();
    const end = programReconcilers(bench.deps).find(({ name }) => name.startsWith('end-overdue'));
    await expect
      .poll(async () => {
        await end?.pass(open);
        return states(bench);
      }, inTime)
      .toEqual(['withheld']);
    await report(bench.deps, bench.host, [outcomeOf(order)]);
    expect(await states(bench)).toEqual(['withheld']);
    expect(await deployableOf(bench)).toMatchObject({ bitstream_id: null });
    expect(await ordersOf(bench.deps, bench.host)).toEqual([]);
  });
});

function patchesOf({ provider }: ProgramBench): object[] {
  const values = {
    hostname: 'vm',
    device_rp_uuid: provider.rpUuid,
    instance_uuid: crypto.randomUUID(),
  };
  return Object.entries(values).map(([name, value]) => ({ path: `/${name}`, op: 'add', value }));
}

import { createHash, randomUUID } from 'node:crypto';

import { callerOf } from '@cyborg/testing/fleet';
import { describe, it, type ExpectStatic } from 'vitest';

import { addImage, openTestGlance, type TestGlance } from '../../test/glance.ts';
import { bind, make, openBench, states, type Bench } from '../../test/requests.ts';
import { readOperation } from '../operations/read-operations.ts';
import type { OrderView } from '../orders/orders.ts';
import { startReconcilers } from '../runner.ts';
import { brokenInvariants, changesWithoutEvent } from '../test-audit.ts';
import { ordersOf, outcomeOf, report } from '../test-agent.ts';
import type { OperationView } from '../operations/read-operations.ts';
import { makeProgramHandlers, type ProgramHandlers } from './handlers.ts';
import type { ProgramChoice } from './program-accelerator.ts';
import type { UploadView } from './upload-program.ts';
import { programReconcilers } from './reconcilers.ts';

const admin = callerOf('admin', 'ops');

interface ProgramBench extends Bench {
  readonly glance: TestGlance;
  readonly programs: ProgramHandlers;
  /** Of the card. */
  readonly ids: readonly string[];
}

async function open(): Promise<ProgramBench> {
  const bench = await openBench(2, { stagingRetryMaxMs: 50, recheckMs: 200 });
  const glance = await openTestGlance();
  const deps = { ...bench.deps, openstack: { ...bench.deps.openstack, glance: glance.glance } };
  const running = startReconcilers(deps, programReconcilers(deps));
  const rows = await bench.db.selectFrom('accelerator').select('id').orderBy('id').execute();
  return {
    ...bench,
    deps,
    glance,
    programs: makeProgramHandlers(deps),
    ids: rows.map(({ id }) => id),
    async [Symbol.asyncDispose]() {
      await running.stop();
      await glance[Symbol.asyncDispose]();
      await bench[Symbol.asyncDispose]();
    },
  };
}

interface Asking {
  readonly isDry?: boolean;
  readonly key?: string;
}

/** Of the second accelerator of the card, which is taken whole. */
function program(
  { programs, ids }: ProgramBench,
  body: ProgramChoice,
  { isDry = false, key }: Asking = {},
): ReturnType<ProgramHandlers['programAccelerator']> {
  return programs.programAccelerator(admin, {
    params: { id: ids[1] ?? '' },
    query: isDry ? { dry_run: true } : {},
    body,
    idempotencyKey: key,
  });
}

async function begun(bench: ProgramBench, body: ProgramChoice): Promise<OperationView> {
  const answer = await program(bench, body);
  if ('dry_run' in answer) throw new Error('it was no dry run');
  return answer;
}

async function* bytesOf(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}

const digestOf = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');

function upload(
  { programs }: ProgramBench,
  text: string,
  sha256 = digestOf(text),
): Promise<UploadView> {
  const query = { name: 'aes.bit', sha256 };
  return programs.uploadProgram(admin, { params: {}, query, body: bytesOf(text) }).then((made) => {
    if ('dry_run' in made) throw new Error('it was no dry run');
    return made;
  });
}

async function orderOf({ deps, host }: ProgramBench, expect: ExpectStatic): Promise<OrderView> {
  const find = async (): Promise<OrderView | undefined> =>
    (await ordersOf(deps, host)).find(({ kind }) => kind === 'update');
  await expect.poll(find, { timeout: 40_000, interval: 10 }).toBeDefined();
  const order = await find();
  if (order === undefined) throw new Error('the order is gone');
  return order;
}

describe('programming an accelerator', () => {
  it('with an uploaded image takes the card out until it is written, and shows how far it is', async ({
    expect,
  }) => {
    await using bench = await open();
    const { db, deps, host, ids } = bench;
    const made = await upload(bench, 'bitstream');
    expect(await upload(bench, 'bitstream')).toEqual(made);
    const sha256 = digestOf('bitstream');
    expect(made).toEqual({ id: expect.any(String), name: 'aes.bit', sha256, size_bytes: 9 });
    const body = { upload_id: made.id, sha256 };
    expect(await program(bench, body, { isDry: true })).toMatchObject({ would_succeed: true });
    expect(await states(bench)).toEqual(['available', 'available']);

    const operation = await begun(bench, body);
    expect(operation).toMatchObject({
      kind: 'program-accelerator',
      state: 'running',
      progress: { done: 0, total: 100 },
      subject: { image: 'aes.bit', image_id: null, accelerator_ids: ids },
    });
    expect(await states(bench)).toEqual(['updating', 'updating']);
    const order = await orderOf(bench, expect);
    expect(order).toMatchObject({ image: { sha256 } });
    await report(deps, host, [outcomeOf(order, { outcome: 'retrying', percent: 40 })]);
    expect(await readOperation(db, admin, operation.id)).toMatchObject({
      progress: { done: 40, total: 100 },
    });
    await expect(program(bench, body)).rejects.toMatchObject({ code: 'wrong-state' });
    await report(deps, host, [outcomeOf(order)]);
    expect(await readOperation(db, admin, operation.id)).toMatchObject({
      state: 'succeeded',
      progress: { done: 100, total: 100 },
      results: ids.map((subject) => ({ subject, outcome: 'succeeded' })),
    });
    expect(await states(bench)).toEqual(['available', 'available']);
    expect(await brokenInvariants(db)).toEqual([]);
    expect(await changesWithoutEvent(db)).toEqual([]);
  });

  it('that fails leaves the card withheld with the reason, until another image is in it', async ({
    expect,
  }) => {
    await using bench = await open();
    const { db, deps, host } = bench;
    const { id } = await upload(bench, 'bad');
    const operation = await begun(bench, { upload_id: id });
    const order = await orderOf(bench, expect);
    await report(deps, host, [outcomeOf(order, { outcome: 'update_failed', message: 'bad CRC.' })]);
    expect(await readOperation(db, admin, operation.id)).toMatchObject({
      state: 'failed',
      error: 'bad CRC.',
    });
    const rows = await db.selectFrom('accelerator').select(['state', 'reason']).execute();
    expect(rows).toEqual(
      Array.from({ length: 2 }, () => ({
        state: 'withheld',
        reason: 'programming failed: bad CRC. Program it again.',
      })),
    );
    const image = addImage(bench.glance);
    await begun(bench, { image_id: image.id, sha256: digestOf(image.bytes) });
    await report(deps, host, [outcomeOf(await orderOf(bench, expect))]);
    expect(await states(bench)).toEqual(['available', 'available']);
    expect(await brokenInvariants(db)).toEqual([]);
  });

  it('is refused while somebody holds a part of the card, naming who', async ({ expect }) => {
    await using bench = await open();
    const instance = randomUUID();
    await bind(bench, await make(bench), { instance });
    const { id } = await upload(bench, 'bits');
    const refusal = {
      code: 'in-use',
      message: expect.stringContaining(`instance ${instance} of project alpha`),
    };
    await expect(program(bench, { upload_id: id })).rejects.toMatchObject(refusal);
    expect(await program(bench, { sha256: digestOf('to come') }, { isDry: true })).toMatchObject({
      would_succeed: false,
    });
    expect(await program(bench, { upload_id: id }, { isDry: true })).toMatchObject({
      would_succeed: false,
      refusal: { code: 'in-use' },
    });
    expect((await states(bench)).toSorted()).toEqual(['attached', 'available']);
  });

  it('writes nothing of an image that is another one than was asked for', async ({ expect }) => {
    await using bench = await open();
    const { db } = bench;
    const other = digestOf('other');
    await expect(upload(bench, 'bits', other)).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringContaining(`sha256 ${digestOf('bits')}, and not ${other}`),
    });
    await expect(upload(bench, '')).rejects.toMatchObject({ code: 'invalid-input' });
    const { id } = await upload(bench, 'bits');
    for (const [body, code] of [
      [{ upload_id: id, sha256: other }, 'invalid-input'],
      [{ upload_id: randomUUID() }, 'image-not-found'],
      [{ image_id: randomUUID() }, 'image-not-found'],
      [{}, 'invalid-input'],
      [{ upload_id: id, image_id: id }, 'invalid-input'],
    ] as const) {
      await expect(program(bench, body), JSON.stringify(body)).rejects.toMatchObject({ code });
    }
    expect(await states(bench)).toEqual(['available', 'available']);
    const operation = await begun(bench, { image_id: addImage(bench.glance).id, sha256: other });
    await expect
      .poll(async () => (await readOperation(db, admin, operation.id)).state)
      .toBe('failed');
    expect(await readOperation(db, admin, operation.id)).toMatchObject({
      error: expect.stringContaining(`and not ${other}`),
    });
    expect(await states(bench)).toEqual(['available', 'available']);
  });

  it('is done once for one idempotency key', async ({ expect }) => {
    await using bench = await open();
    const { id } = await upload(bench, 'bits');
    const key = randomUUID();
    const first = await program(bench, { upload_id: id }, { key });
    expect(await program(bench, { upload_id: id }, { key })).toEqual(first);
    const rows = await bench.db.selectFrom('programming').select('id').execute();
    expect(rows).toHaveLength(1);
  });
});

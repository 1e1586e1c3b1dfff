import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { recordEvents } from '../record-event.ts';
import { numberEvents } from '../reconcilers/number-events.ts';
import { makeTestDeps } from '../test-deps.ts';
import { act } from '../transaction.ts';
import { makeEventHandlers } from './handlers.ts';
import { followEvents, readEvents } from './read-events.ts';

const admin = callerOf('admin', 'root');
const signal = new AbortController().signal;

async function setUp() {
  const database = await openTestDatabase();
  const deps = makeTestDeps({ db: database.db, clock: makeTestClock() });
  const sequencer = numberEvents(deps);
  const write = (subjectId: string, projectId: string | null = 'alpha') =>
    act(deps, (current) =>
      recordEvents(current, [
        { kind: 'test.written', subjectKind: 'test', subjectId, projectId, data: { n: subjectId } },
      ]),
    );
  return { database, deps, sequencer, write };
}

describe('events', () => {
  it('reach a reader once each, in one order, while writers run beside it', async ({ expect }) => {
    const { database, deps, sequencer, write } = await setUp();
    await using _ = database;
    const writers = 8;
    const each = 25;
    let writing = true;
    const done = Promise.all(
      Array.from({ length: writers }, async (_value, writer) => {
        for (let n = 0; n < each; n++) await write(`${writer}-${n}`);
      }),
    ).finally(() => (writing = false));
    const sequencers = [0, 1, 2].map(async () => {
      while (writing) await sequencer.pass(signal);
    });
    const seen: { number: number; subject_id: string }[] = [];
    while (writing) {
      const after = seen.at(-1)?.number ?? 0;
      seen.push(...(await readEvents(deps.db, admin, { after, limit: 7 })));
    }
    await Promise.all([done, ...sequencers]);
    while ((await sequencer.pass(signal)).found > 0);
    for (;;) {
      const more = await readEvents(deps.db, admin, { after: seen.at(-1)?.number ?? 0, limit: 50 });
      if (more.length === 0) break;
      seen.push(...more);
    }
    expect(seen.map((event) => event.number)).toEqual(
      Array.from({ length: writers * each }, (_value, index) => index + 1),
    );
    for (let writer = 0; writer < writers; writer++) {
      const own = seen.map((event) => event.subject_id).filter((id) => id.startsWith(`${writer}-`));
      expect(own).toEqual(Array.from({ length: each }, (_value, n) => `${writer}-${n}`));
    }
  });

  it('are not numbered before they are committed, and later ones are not held up', async ({
    expect,
  }) => {
    const { database, deps, sequencer, write } = await setUp();
    await using _ = database;
    const gate = Promise.withResolvers<void>();
    const written = Promise.withResolvers<void>();
    const slow = act(deps, async (current) => {
      await recordEvents(current, [{ kind: 'test.slow', subjectKind: 'test', subjectId: 'slow' }]);
      written.resolve();
      await gate.promise;
    });
    await written.promise;
    await write('quick');
    await sequencer.pass(signal);
    const first = await readEvents(deps.db, admin, {});
    expect(first.map((event) => event.subject_id)).toEqual(['quick']);
    gate.resolve();
    await slow;
    await sequencer.pass(signal);
    const rest = await readEvents(deps.db, admin, { after: first.at(-1)?.number });
    expect(rest.map((event) => event.subject_id)).toEqual(['slow']);
  });

  it('of another project are not there', async ({ expect }) => {
    const { database, deps, sequencer, write } = await setUp();
    await using _ = database;
    await write('a', 'alpha');
    await write('b', 'beta');
    await write('c', null);
    await sequencer.pass(signal);
    const subjects = async (caller: typeof admin) =>
      (await readEvents(deps.db, caller, {})).map((event) => event.subject_id);
    expect(await subjects(admin)).toEqual(['a', 'b', 'c']);
    expect(await subjects(callerOf('manager', 'alpha'))).toEqual(['a']);
    expect(await subjects(callerOf('reader', 'beta'))).toEqual(['b']);
  });

  it('are listed in pages that join without a gap', async ({ expect }) => {
    const { database, deps, sequencer, write } = await setUp();
    await using _ = database;
    for (let n = 1; n <= 5; n++) await write(String(n));
    await sequencer.pass(signal);
    const { listEvents } = makeEventHandlers(deps);
    const list = (query: object) => listEvents(admin, { params: {}, query, body: undefined });
    const first = await list({ limit: 2 });
    const second = await list({ limit: 3, marker: first.next ?? undefined });
    expect([...first.items, ...second.items].map((event) => event.subject_id)).toEqual([
      '1',
      '2',
      '3',
      '4',
      '5',
    ]);
    expect(second.next).toBeNull();
    expect((await list({ after: 4 })).items).toHaveLength(1);
    const newest = await list({ order: 'newest', limit: 2 });
    const before = await list({ order: 'newest', limit: 3, marker: newest.next ?? undefined });
    expect([...newest.items, ...before.items].map((event) => event.subject_id)).toEqual([
      '5',
      '4',
      '3',
      '2',
      '1',
    ]);
    expect(before.next).toBeNull();
    expect((await list({ subject_id: '3' })).items).toHaveLength(1);
    await expect(list({ marker: 'x' })).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('are followed from now on, and after a given number', async ({ expect }) => {
    const { database, deps, sequencer, write } = await setUp();
    await using _ = database;
    await write('old');
    await sequencer.pass(signal);
    const stop = new AbortController();
    const live = followEvents(deps, admin, { signal: stop.signal });
    const next = live.next();
    while (!deps.wake.waiting().includes('events')) await new Promise(setImmediate);
    await write('new');
    // The follower reads the last number before it waits: keep waking until it has.
    let got: string | undefined;
    void next.then(({ value }) => (got = value?.subject_id));
    while (got === undefined) {
      await sequencer.pass(signal);
      deps.wake.wake(['events']);
      await new Promise(setImmediate);
    }
    expect(got).toBe('new');
    const all = followEvents(deps, admin, { after: 0, signal: stop.signal });
    expect((await all.next()).value?.subject_id).toBe('old');
    expect((await all.next()).value?.subject_id).toBe('new');
    const ended = all.next();
    stop.abort();
    expect((await ended).done).toBe(true);
  });
});

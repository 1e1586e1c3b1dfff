import { systemClock } from '@cyborg/service/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addHost } from '@cyborg/testing/fleet';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { hostPrints } from './agents/desired.ts';
import type { Reconciler } from './reconciler.ts';
import { recheckWaiting } from './recheck.ts';
import { attachmentReconcilers } from './reconcilers/attachment-reconcilers.ts';
import { fleetReconcilers } from './reconcilers/fleet.ts';
import { recordEvents } from './record-event.ts';
import { makeTestDeps } from './test-deps.ts';
import { act } from './transaction.ts';
import type { Topic } from './wake.ts';

const never = new AbortController().signal;
const idle = { found: 0, full: false };
const reconciler = (name: string, due: Reconciler['due']): Reconciler => ({
  name,
  periodMs: 1,
  topics: [],
  ...(due !== undefined && { due }),
  pass: async () => idle,
});

describe('recheckWaiting', () => {
  it('wakes a reconciler while its work is there, and one with a text when that changes', async ({
    expect,
  }) => {
    await using database = await openTestDatabase();
    const deps = makeTestDeps({ db: database.db, clock: systemClock });
    let text: string | null = 'one';
    const { pass } = recheckWaiting(deps, {
      hostPrints,
      work: [
        reconciler('busy', () => sql`1 = 1`),
        reconciler('done', () => sql`1 = 2`),
        reconciler('changing', () => sql`${text}::text`),
      ],
    });
    const woken: Topic[] = [];
    for (const topic of ['due:busy', 'due:done', 'due:changing'] as const) {
      deps.wake.subscribe(topic, () => woken.push(topic));
    }
    const look = async (): Promise<Topic[]> => {
      woken.length = 0;
      await pass(never);
      return [...woken];
    };
    await look();
    expect(await look()).toEqual(['due:busy']);
    text = 'two';
    expect(await look()).toEqual(['due:busy', 'due:changing']);
  });

  it('asks nothing when nobody waits, and one question for all who do', async ({ expect }) => {
    await using database = await openTestDatabase();
    let asked = 0;
    const db = database.db.withPlugin({
      transformQuery: ({ node }) => {
        asked += 1;
        return node;
      },
      transformResult: async ({ result }) => result,
    });
    const deps = makeTestDeps({ db, clock: systemClock });
    const { pass } = recheckWaiting(deps, { hostPrints, work: [] });
    await pass(never);
    expect(asked).toBe(0);
    using _reader = deps.wake.subscribe('events', () => {});
    using _host = deps.wake.subscribe('host:00000000-0000-0000-0000-000000000001', () => {});
    using _operation = deps.wake.subscribe(
      'operation:00000000-0000-0000-0000-000000000002',
      () => {},
    );
    await pass(never);
    expect(asked, 'one statement for all').toBe(1);
  });

  it('finds the work of every reconciler that left its period to it', async ({ expect }) => {
    await using database = await openTestDatabase();
    const { db } = database;
    const deps = makeTestDeps({ db, clock: systemClock });
    const work = [...attachmentReconcilers(deps), ...fleetReconcilers(deps)];
    const { pass } = recheckWaiting(deps, { hostPrints, work });
    const woken = new Set<Topic>();
    for (const { name } of work) deps.wake.subscribe(`due:${name}`, () => woken.add(`due:${name}`));
    await pass(never);
    woken.clear();
    await pass(never);
    expect([...woken]).toEqual([]);
    await addHost(db, { lease_expires_at: new Date(0) });
    await act(deps, (current) =>
      recordEvents(current, [{ kind: 'test.x', subjectKind: 'host', subjectId: 'x' }]),
    );
    await pass(never);
    expect([...woken].toSorted()).toEqual(['due:mark-hosts-down', 'due:number-events']);
  });
});

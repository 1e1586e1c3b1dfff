import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance } from '@cyborg/testing/fleet';
import fc from 'fast-check';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { admin } from '../../test/attaching.ts';
import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import type { ConductorDeps, Db } from '../deps.ts';
import { makeOperationHandlers } from '../operations/handlers.ts';
import { dispatch, obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { brokenInvariants, changesWithoutEvent, startAudit } from '../test-audit.ts';
import { makeTestDeps } from '../test-deps.ts';
import { act } from '../transaction.ts';
import { applyObservations } from './observations.ts';
import { listHeld, type OrderView } from './orders.ts';
import type { Outcome } from './outcomes.ts';

interface Bench {
  readonly db: Db;
  readonly deps: ConductorDeps;
  readonly host: { readonly id: string };
  readonly instances: readonly { readonly id: string }[];
  readonly handlers: ReturnType<typeof makeAttachmentHandlers>;
}

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('attach' as const),
      guest: fc.nat(1),
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('detach' as const),
      guest: fc.nat(1),
      pick: fc.option(fc.nat(3)),
      force: fc.constantFrom(false, false, false, true),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('dispatch' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), pick: fc.nat(7) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('outcome' as const),
      pick: fc.nat(7),
      outcome: fc.constantFrom(
        'done',
        'done',
        'done',
        'failed',
        'clean_failed',
        'held',
        'retrying',
        'refused',
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('repeat' as const), pick: fc.nat(31) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('observe' as const),
      pick: fc.nat(3),
      observed: fc.constantFrom('plugged', 'missing', 'unknown'),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function take(bench: Bench, history: Outcome[], one: Step): Promise<void> {
  const { deps, db, host, handlers, instances } = bench;
  const guest = (n: number) => ({ instance_id: instances[n]!.id });
  switch (one.do) {
    case 'attach':
      await handlers.createAttachments(admin, {
        params: guest(one.guest),
        query: {},
        body: { count: one.count },
      });
      return;
    case 'detach': {
      const held = await db.selectFrom('accelerator').select('id').orderBy('id').execute();
      const accelerator = one.pick === null ? undefined : held[one.pick % held.length]?.id;
      await handlers.deleteAttachments(admin, {
        params: guest(one.guest),
        query: { force: one.force, ...(accelerator !== undefined && { accelerator }) },
        body: undefined,
      });
      return;
    }
    case 'dispatch':
      await dispatch(deps);
      return;
    case 'cancel': {
      const operations = await db.selectFrom('operation').select('id').orderBy('id').execute();
      const id = operations[one.pick % Math.max(1, operations.length)]?.id;
      if (id === undefined) return;
      await makeOperationHandlers(deps).cancelOperation(admin, {
        params: { id },
        query: {},
        body: undefined,
      });
      return;
    }
    case 'outcome': {
      const orders = await ordersOf(deps, host);
      const order = orders[one.pick % Math.max(1, orders.length)];
      if (order === undefined) return;
      const outcome = chosen(order, one.outcome);
      history.push(outcome);
      await report(deps, host, [outcome]);
      return;
    }
    case 'repeat': {
      const old = history[one.pick % Math.max(1, history.length)];
      if (old !== undefined) await report(deps, host, [old, old]);
      return;
    }
    case 'observe': {
      const { items } = await listHeld(db, host.id, undefined);
      const item = items[one.pick % Math.max(1, items.length)];
      if (item === undefined) return;
      const observed = one.observed as 'plugged' | 'missing' | 'unknown';
      const observations = [{ attachment_id: item.attachment_id, epoch: item.epoch, observed }];
      await act(deps, (current) => applyObservations(current, deps, { host, observations }));
    }
  }
}

function chosen(order: OrderView, wish: string): Outcome {
  const fits =
    wish === 'done' ||
    (wish === 'failed' && order.kind !== 'attach') ||
    (['clean_failed', 'held'].includes(wish) && order.kind !== 'clean');
  const message = `because of ${wish}`;
  return fits
    ? outcomeOf(order)
    : outcomeOf(order, { outcome: wish as Outcome['outcome'], message });
}

describe('any history of requests, outcomes, repetitions and old epochs', () => {
  it('keeps accelerators, attachments, operations and events in step, and epochs rising', async ({
    expect,
  }) => {
    const database = await openTestDatabase();
    await using _ = database;
    const { db } = database;
    await startAudit(db);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const deps = makeTestDeps({ db, clock: makeTestClock() });
        await sql`truncate host, driver, operation, attachment, event cascade`.execute(db);
        const host = await addHost(db);
        await addAccelerators(db, await addBackend(db, host), { count: 4 });
        const instances = [await addInstance(db, host), await addInstance(db, host)];
        await sql`truncate audit, audit_event`.execute(db);
        const bench: Bench = { db, deps, host, instances, handlers: makeAttachmentHandlers(deps) };
        const history: Outcome[] = [];
        const epochs = new Map<string, number>();
        for (const one of steps) {
          await take(bench, history, one).catch((error: unknown) => {
            if (!(error instanceof Error && error.name === 'ServiceError')) throw error;
          });
          expect(await brokenInvariants(db)).toEqual([]);
          for (const { id, epoch } of await db
            .selectFrom('accelerator')
            .select(['id', 'epoch'])
            .execute()) {
            expect(epoch).toBeGreaterThanOrEqual(epochs.get(id) ?? 0);
            epochs.set(id, epoch);
          }
        }
        expect(await changesWithoutEvent(db)).toEqual([]);
        await obey(deps, host);
        for (const instance of instances) {
          await handlers(bench, instance.id);
        }
        await obey(deps, host);
        expect(await brokenInvariants(db)).toEqual([]);
        const open = await db
          .selectFrom('operation')
          .select('id')
          .where('finished_at', 'is', null)
          .execute();
        expect(open).toEqual([]);
        const live = await db
          .selectFrom('attachment')
          .select('id')
          .where('state', '<>', 'released')
          .execute();
        expect(live).toEqual([]);
      }),
      { numRuns: Number(process.env['CYBORG_TEST_RUNS'] ?? 25) },
    );
  }, 120_000);
});

function handlers(bench: Bench, instanceId: string): Promise<unknown> {
  return bench.handlers.deleteAttachments(admin, {
    params: { instance_id: instanceId },
    query: {},
    body: undefined,
  });
}

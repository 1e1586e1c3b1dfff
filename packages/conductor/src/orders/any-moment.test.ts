import fc from 'fast-check';
import { describe, it } from 'vitest';

import { card, openCards } from '../../test/cards.ts';
import { dispatch, obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { brokenInvariants, changesWithoutEvent, startAudit } from '../test-audit.ts';
import { act } from '../transaction.ts';
import { applyObservations } from './observations.ts';
import { listHeld } from './orders.ts';

type Bench = Awaited<ReturnType<typeof openCards>>;

const workers = 6;
const buses = ['41', '42', '43'];
const kinds = ['attach', 'detach', 'dispatch', 'report', 'report', 'observe', 'look', 'vouch'];
const step = fc.record({ do: fc.constantFrom(...kinds), pick: fc.nat(2) });
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** All cards but one, or all. */
function cardsWithout(pick: number): object[] {
  const [missing] = pick === 0 ? [] : [buses[pick]];
  return buses.filter((bus) => bus !== missing).map((bus) => card(bus, { serial: bus }));
}

async function take(bench: Bench, { do: what, pick }: Step): Promise<void> {
  const { db, deps, host } = bench;
  switch (what) {
    case 'attach':
      await bench.attach({ driver: 'generic' });
      return;
    case 'detach':
      await bench.detach();
      return;
    case 'dispatch':
      await dispatch(deps);
      return;
    case 'report': {
      const orders = await ordersOf(deps, host);
      const done = orders.map((order) => outcomeOf(order));
      await report(deps, host, done);
      return;
    }
    case 'observe': {
      const { items } = await listHeld(db, host.id, undefined);
      const observations = items.map(({ attachment_id, epoch }) => ({
        attachment_id,
        epoch,
        observed: 'missing' as const,
      }));
      await act(deps, (current) => applyObservations(current, deps, { host, observations }));
      return;
    }
    case 'look':
      await bench.put(...cardsWithout(pick));
      return;
    default:
      await bench.update(`serial-${buses[pick]}`, { state: 'available', reason: 'looked at it' });
  }
}

describe('whatever happens at the same moment', () => {
  it('leaves accelerators, attachments, operations and events in step', async ({ expect }) => {
    const bench = await openCards();
    const { database, db, deps, host } = bench;
    await using _ = database;
    await bench.put(...cardsWithout(0));
    await startAudit(db);
    const work = async (steps: readonly Step[]): Promise<void> => {
      for (const one of steps) {
        await take(bench, one).catch((error: unknown) => {
          if (!(error instanceof Error && error.name === 'ServiceError')) throw error;
          expect(one.do, error.message).not.toBe('report');
        });
      }
    };
    const size = { minLength: 50, maxLength: 50 };
    const all = fc.array(fc.array(step, size), { minLength: workers, maxLength: workers });
    for (const each of fc.sample(all, 1)) await Promise.all(each.map(work));
    expect(await brokenInvariants(db)).toEqual([]);
    expect(await changesWithoutEvent(db)).toEqual([]);
    await bench.put(...cardsWithout(0));
    await obey(deps, host);
    await bench.detach();
    await obey(deps, host);
    expect(await bench.states()).toEqual(buses.map((bus) => `serial-${bus} available present`));
    expect(await brokenInvariants(db)).toEqual([]);
  }, 120_000);
});

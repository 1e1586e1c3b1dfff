/**
 * Attach-then-detach through the real path, against the same row changes by prepared SQL on the same database.
 *
 * The baseline has a database of its own beside the ledger's, in the same PostgreSQL: the server would take up what it
 * writes. Rows inserted and updated per cycle, by the database's own statistics, are printed for both sides.
 */
import type pg from 'pg';

import type { Operation } from '@cyborg/api-spec/v3/operations';

import type { BenchFleet } from './fleet.ts';
import { runRawCycles, type RawScope } from './raw-cycle.ts';
import { openRawDatabase } from './raw-database.ts';
import type { BenchReport } from './report.ts';
import { countRowChanges, type RowChanges } from './row-changes.ts';

const clients = 16;
const rateMin = 0.08;
const reserveRateMin = 0.3;

export interface AttachBenchOptions {
  readonly accelerators: number;
  readonly cycles: number;
  readonly heldMany: number;
  /** Of each side; the quickest counts. */
  readonly turns: number;
  /** More and shorter ones: a reservation takes a few milliseconds, and so does what disturbs it. */
  readonly reserveTurns: number;
}

interface Measured {
  readonly perSecond: number;
  readonly medianMs: number;
  readonly rows: RowChanges;
}

export async function benchAttach(
  fleet: BenchFleet,
  report: BenchReport,
  { accelerators, cycles, heldMany, turns, reserveTurns }: AttachBenchOptions,
): Promise<void> {
  await using rawDatabase = await openRawDatabase(fleet.databaseUrl, accelerators);
  const { pool, scope } = rawDatabase;
  await realCycles(fleet, Math.min(cycles, 32)); // warm
  await measureRaw(pool, scope, Math.min(cycles, 32));

  await benchCycles('attach-detach', report, {
    turns,
    real: () => realCycles(fleet, cycles),
    raw: () => measureRaw(pool, scope, cycles * 3),
  });
  await benchReserve(fleet, report, { pool, scope, turns: reserveTurns });
  await hold(fleet, heldMany);
  await rawDatabase.hold(heldMany);
  await benchCycles(`attach-detach beside ${heldMany} held`, report, {
    turns,
    real: () => realCycles(fleet, cycles),
    raw: () => measureRaw(pool, scope, cycles * 3),
  });
}

interface Sides<T> {
  readonly turns: number;
  readonly real: () => Promise<T>;
  readonly raw: () => Promise<T>;
}

/** Takes turns, so that what else the machine does falls on both sides; the quickest turn of each side counts. */
async function takeTurns<T extends { readonly perSecond: number }>(
  sides: Sides<T>,
): Promise<{ ratio: number; real: T; raw: T }> {
  const taken: { real: T[]; raw: T[] } = { real: [], raw: [] };
  for (let turn = 0; turn < sides.turns; turn++) {
    taken.raw.push(await sides.raw());
    taken.real.push(await sides.real());
  }
  const [real, raw] = [quickest(taken.real), quickest(taken.raw)];
  return { ratio: real.perSecond / raw.perSecond, real, raw };
}

function quickest<T extends { readonly perSecond: number }>(turns: readonly T[]): T {
  return turns.reduce((best, turn) => (turn.perSecond > best.perSecond ? turn : best));
}

async function benchCycles(
  name: string,
  report: BenchReport,
  sides: Sides<Measured>,
): Promise<void> {
  const { ratio, real, raw } = await takeTurns(sides);
  report.note(
    `${name}: ${real.perSecond.toFixed(1)}/s (median ${real.medianMs.toFixed(0)} ms), prepared SQL ${raw.perSecond.toFixed(0)}/s`,
  );
  report.note(`  rows a cycle: real ${rowsText(real.rows)}; prepared SQL ${rowsText(raw.rows)}`);
  report.figure({
    name: `${name}, rate over prepared SQL`,
    value: ratio,
    unit: 'times',
    bound: { kind: 'at-least', value: rateMin },
  });
}

function rowsText({ inserted, updated, transactions }: RowChanges): string {
  return `${inserted.toFixed(1)} inserted, ${updated.toFixed(1)} updated in ${transactions.toFixed(1)} transactions`;
}

async function measureRaw(pool: pg.Pool, scope: RawScope, cycles: number): Promise<Measured> {
  const counted = await countRowChanges(pool, cycles, () =>
    runRawCycles(pool, scope, { clients, cycles }),
  );
  return { ...counted.result, rows: counted.rows };
}

async function realCycles(fleet: BenchFleet, cycles: number): Promise<Measured> {
  const { items } = await fleet.api.listInstances({ query: { limit: clients } });
  const counted = await countRowChanges(fleet.pool, cycles, () =>
    timeCycles(cycles, async (worker) => {
      const instance = items[worker % items.length];
      if (instance === undefined) throw new Error('the bench fleet has no instances');
      const attached = await follow(fleet, await attach(fleet, instance.id));
      const accelerator = (attached.subject['accelerator_ids'] as string[])[0] ?? '';
      await follow(
        fleet,
        asOperation(
          await fleet.api.deleteAttachments({
            params: { instance_id: instance.id },
            query: { accelerator },
          }),
        ),
      );
    }),
  );
  return { ...counted.result, rows: counted.rows };
}

/** Runs `cycles` in all over the clients; rate and median of what one takes. */
export async function timeCycles(
  cycles: number,
  cycle: (worker: number) => Promise<void>,
): Promise<{ perSecond: number; medianMs: number }> {
  const durations: number[] = [];
  let left = cycles;
  const started = performance.now();
  const work = async (worker: number): Promise<void> => {
    while (left-- > 0) {
      const from = performance.now();
      await cycle(worker);
      durations.push(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, worker) => work(worker)));
  const seconds = (performance.now() - started) / 1000;
  durations.sort((a, b) => a - b);
  return {
    perSecond: cycles / seconds,
    medianMs: durations[Math.floor(durations.length / 2)] ?? Number.NaN,
  };
}

async function attach(fleet: BenchFleet, instanceId: string, count = 1): Promise<Operation> {
  return asOperation(
    await fleet.api.createAttachments({
      params: { instance_id: instanceId },
      query: {},
      body: { driver: 'generic', count },
    }),
  );
}

async function follow(fleet: BenchFleet, operation: Operation): Promise<Operation> {
  let last = operation;
  if (isOver(last)) return last;
  for await (const event of fleet.http.stream({
    path: `/v3/operations/${operation.id}`,
    headers: { accept: 'text/event-stream' },
  })) {
    last = JSON.parse(event.data) as Operation;
  }
  if (last.state !== 'succeeded')
    throw new Error(`operation ${last.id} ended as ${last.state}: ${last.error}`);
  return last;
}

function isOver({ state }: Operation): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled';
}

function asOperation(value: object): Operation {
  if (!('progress' in value)) throw new Error(`not an operation: ${JSON.stringify(value)}`);
  return value as Operation;
}

/** POST to 202 alone, against the reservation's row changes alone; taken back afterwards, outside the measure. */
async function benchReserve(
  fleet: BenchFleet,
  report: BenchReport,
  { pool, scope, turns }: { pool: pg.Pool; scope: RawScope; turns: number },
): Promise<void> {
  const instance = (await fleet.api.listInstances({ query: { limit: 1 } })).items[0];
  if (instance === undefined) throw new Error('the bench fleet has no instances');
  const reservations = 64;
  const detachAll = async (): Promise<void> => {
    const params = { instance_id: instance.id };
    await follow(fleet, asOperation(await fleet.api.deleteAttachments({ params, query: {} })));
  };
  const { ratio, real, raw } = await takeTurns({
    turns,
    raw: () => runRawCycles(pool, scope, { clients, cycles: reservations * 8, only: 'reserve' }),
    async real() {
      fleet.agentPause(); // what it does with a reservation is not part of this
      try {
        return await timeCycles(
          reservations * 2,
          async () => void (await attach(fleet, instance.id)),
        );
      } finally {
        fleet.agentContinue();
        await detachAll();
      }
    },
  });
  report.note(
    `reserve: ${real.perSecond.toFixed(1)}/s (median ${real.medianMs.toFixed(1)} ms to 202), prepared SQL ${raw.perSecond.toFixed(0)}/s`,
  );
  report.figure({
    name: 'reserving, rate over prepared SQL',
    value: ratio,
    unit: 'times',
    bound: { kind: 'at-least', value: reserveRateMin },
  });
}

async function hold(fleet: BenchFleet, count: number): Promise<void> {
  const { items } = await fleet.api.listInstances({ query: { limit: 1000 } });
  const perRequest = 50;
  const requests = Array.from({ length: Math.ceil(count / perRequest) }, (_, index) => index);
  await Promise.all(
    requests.map(async (index) => {
      const instance = items[(clients + index) % items.length];
      if (instance !== undefined) await follow(fleet, await attach(fleet, instance.id, perRequest));
    }),
  );
}

/**
 * What a scrape of /metrics costs at 100,000 accelerators: reading the figures of the ledger, beside one pass over the
 * accelerators by plain SQL on the same PostgreSQL. They are read at most every 5 s, whoever scrapes how often.
 */
import { setTimeout as delay } from 'node:timers/promises';

import type { BenchFleet } from './fleet.ts';
import type { BenchReport } from './report.ts';

const readings = 5;
/** Counting takes one pass; a few joins and the queues come on top. */
const ratioMax = 4;
/** Of the time between two readings. */
const shareMax = 0.1;
const readEveryMs = 5000;
const patienceMs = 120_000;

interface Reading {
  readonly count: number;
  readonly seconds: number;
}

/** Call it after `benchLists`, which leaves 100,000 accelerators in the ledger. */
export async function benchScrape(fleet: BenchFleet, report: BenchReport): Promise<void> {
  const first = await scrape(fleet);
  const passes: number[] = [];
  let last = first;
  for (const until = Date.now() + patienceMs; last.count < first.count + readings;) {
    if (Date.now() > until) throw new Error('the figures of the ledger are not read');
    passes.push(await onePassMs(fleet));
    await delay(500);
    last = await scrape(fleet);
  }
  const readMs = ((last.seconds - first.seconds) / (last.count - first.count)) * 1000;
  const passMs = median(passes);
  report.figure({
    name: `reading the figures of /metrics, ${readMs.toFixed(0)} ms, beside one count of the accelerators ${passMs.toFixed(0)} ms`,
    value: readMs / passMs,
    unit: 'times',
    bound: { kind: 'at-most', value: ratioMax },
  });
  report.figure({
    name: 'share of the time that the figures of /metrics are read, however often they are asked for',
    value: readMs / readEveryMs,
    unit: '',
    bound: { kind: 'at-most', value: shareMax },
  });
  const mib = await databaseMiB(fleet);
  report.figure({ name: 'size of the database', value: mib, unit: 'MiB', bound: null });
}

async function databaseMiB({ pool }: BenchFleet): Promise<number> {
  const { rows } = await pool.query<{ bytes: string }>(
    'select pg_database_size(current_database()) as bytes',
  );
  return Number(rows[0]?.bytes) / 1024 / 1024;
}

async function scrape({ url }: BenchFleet): Promise<Reading> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = (suffix: string): number => {
    const line = new RegExp(`^cyborg_ledger_figures_duration_seconds_${suffix} (.+)$`, 'm');
    return Number(line.exec(text)?.[1] ?? Number.NaN);
  };
  if (!text.includes('cyborg_ledger_figures_up 1')) throw new Error('there are no figures');
  return { count: value('count'), seconds: value('sum') };
}

async function onePassMs({ pool }: BenchFleet): Promise<number> {
  const from = performance.now();
  await pool.query(
    'select type, state, health, presence, count(*) from accelerator group by 1, 2, 3, 4',
  );
  return performance.now() - from;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

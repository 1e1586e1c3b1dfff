/** The table of accelerators stays quick: what a person waits for does not grow with the fleet. */
import pg from 'pg';
import { describe, it } from 'vitest';

import { addHosts, perHost } from '../bench/lists-ledger.ts';
import { Fleet } from '../system/fleet.ts';
import { launch, Window } from './browser.ts';
import { findChromium, noChromium } from './demo.ts';

const few = 1_000;
const many = 100_000;
const rounds = 9;
const ratioMax = 1.5;

const lists = [
  '/accelerators',
  '/accelerators?sort=-name',
  '/accelerators?state=available&sort=name',
];

describe('the table of accelerators', () => {
  it('shows its first page about as soon with 100,000 rows as with 1,000', async (context) => {
    const { expect } = context;
    if (findChromium() === undefined) return context.skip(noChromium);
    await using fleet = await Fleet.open();
    await fleet.startServer();
    const pool = new pg.Pool({ connectionString: fleet.databaseUrl });
    const browser = await launch();
    try {
      await using window = await Window.open(browser, fleet.url);
      await fill(pool, few);
      const before = await timeAll(window);
      await fill(pool, many - few);
      const after = await timeAll(window);
      for (const [at, path] of lists.entries()) {
        const [fewMs, manyMs] = [before[at] ?? Number.NaN, after[at] ?? Number.NaN];
        const said = `${path}: ${fewMs.toFixed(0)} ms at ${few}, ${manyMs.toFixed(0)} ms at ${many}`;
        console.info(said);
        expect(manyMs / fewMs, said).toBeLessThan(ratioMax);
      }
      expect(window.complaints).toEqual([]);
    } finally {
      await browser.close();
      await pool.end();
    }
  });
});

async function fill(pool: pg.Pool, accelerators: number): Promise<void> {
  await addHosts(pool, accelerators / perHost);
  // Their events have happened before anybody looks: who opens the page is not told of them one by one.
  await pool.query('update event_counter set last = (select max(number) from event)');
}

/** The best of some rounds of each list, from the address to the first row: what others do here counts for neither. */
async function timeAll(window: Window): Promise<number[]> {
  const best: number[] = [];
  for (const path of lists) {
    const times: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const startedMs = performance.now();
      await window.go(path);
      await window.page
        .getByRole('table', { name: 'Accelerators' })
        .getByRole('link')
        .first()
        .waitFor();
      times.push(performance.now() - startedMs);
    }
    best.push(Math.min(...times));
  }
  return best;
}

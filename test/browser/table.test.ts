/** The table of accelerators stays quick: what a person waits for does not grow with the fleet. */
import pg from 'pg';
import type { Browser } from 'playwright-core';
import { describe, it } from 'vitest';

import { addHosts, perHost } from '../bench/lists-ledger.ts';
import { Fleet } from '../system/fleet.ts';
import { launch, Window } from './browser.ts';
import { findChromium, noChromium } from './demo.ts';

const few = 1_000;
const many = 100_000;
const rounds = { min: 9, max: 36 };
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
    const browser = await launch();
    try {
      await using small = await openFleet(browser, few);
      await using large = await openFleet(browser, many);
      for (const path of lists) {
        const { fewMs, manyMs } = await compare({ small, large }, path);
        const said = `${path}: ${fewMs.toFixed(0)} ms at ${few}, ${manyMs.toFixed(0)} ms at ${many}`;
        console.info(said);
        expect(manyMs / fewMs, said).toBeLessThan(ratioMax);
      }
      expect([...small.window.complaints, ...large.window.complaints]).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});

interface FilledFleet extends AsyncDisposable {
  readonly window: Window;
}

async function openFleet(browser: Browser, accelerators: number): Promise<FilledFleet> {
  await using opening = new AsyncDisposableStack();
  const fleet = opening.use(await Fleet.open());
  await fleet.startServer();
  const pool = new pg.Pool({ connectionString: fleet.databaseUrl });
  opening.defer(() => pool.end());
  await addHosts(pool, accelerators / perHost);
  // Their events have happened before anybody looks: who opens the page is not told of them one by one.
  await pool.query('update event_counter set last = (select max(number) from event)');
  const window = opening.use(await Window.open(browser, fleet.url));
  const opened = opening.move();
  return { window, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

interface Compared {
  readonly fewMs: number;
  readonly manyMs: number;
}

/** The best of some rounds of each, by turns: what others do here meets both, and the more of it, the more rounds. */
async function compare(
  { small, large }: { readonly small: FilledFleet; readonly large: FilledFleet },
  path: string,
): Promise<Compared> {
  let best: Compared = { fewMs: Number.POSITIVE_INFINITY, manyMs: Number.POSITIVE_INFINITY };
  for (let round = 1; round <= rounds.max; round += 1) {
    best = {
      fewMs: Math.min(best.fewMs, await timeOf(small, path)),
      manyMs: Math.min(best.manyMs, await timeOf(large, path)),
    };
    if (round >= rounds.min && best.manyMs / best.fewMs < ratioMax) break;
  }
  return best;
}

/** From the address to the first row. */
async function timeOf({ window }: FilledFleet, path: string): Promise<number> {
  const startedMs = performance.now();
  await window.go(path);
  await window.page
    .getByRole('table', { name: 'Accelerators' })
    .getByRole('link')
    .first()
    .waitFor();
  return performance.now() - startedMs;
}

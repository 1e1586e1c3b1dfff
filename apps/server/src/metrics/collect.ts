/** Metrics that are read when somebody looks. */
import type { RunningReconcilers } from '@cyborg/conductor/runner';
import type { Clock } from '@cyborg/service/clock';
import { withDeadline } from '@cyborg/service/deadline';
import type { Connection } from '@cyborg/store/connect';
import { lastEventNumber } from '@cyborg/store/events';
import { readLately } from '@cyborg/store/lately';
import type { StoreLog } from '@cyborg/store/log';

import { forgetLedger, readLedger, type LedgerMetrics } from './ledger-metrics.ts';
import { setProcess, type ProcessMetrics } from './process-metrics.ts';

export interface CollectDeps {
  readonly ledger: LedgerMetrics;
  readonly process: ProcessMetrics;
  readonly connection: Connection;
  readonly reconcilers: RunningReconcilers;
  readonly clock: Clock;
  readonly log: Pick<StoreLog, 'warn'>;
}

/** Counting a large fleet is not free, and /metrics is open: at most so often, and never twice at once. */
const readEveryMs = 5000;
/** A scrape waits no longer for the ledger; Prometheus gives up after 10 s. */
const readWaitMs = 4000;
/** Looks at what has happened since, a scrape. */
const looksMax = 20;

/** @returns what a scrape calls before it reads; never throws. */
export async function makeCollector(deps: CollectDeps): Promise<() => Promise<void>> {
  const { clock, log, ledger } = deps;
  const seen = { number: await lastEventNumber(deps.connection.db) };
  let reading: Promise<void> | undefined;
  let readAtMs = Number.NEGATIVE_INFINITY;
  const read = async (): Promise<void> => {
    try {
      await readOnce(deps, seen);
      ledger.figuresUp.set(1);
    } catch (error) {
      forgetLedger(ledger);
      ledger.figuresUp.set(0);
      log.warn({ err: error }, 'the figures of the ledger could not be read');
    } finally {
      readAtMs = clock.monotonicMs();
      reading = undefined;
    }
  };
  return async () => {
    setProcess(deps.process, { ...deps, pool: deps.connection.pool });
    if (reading === undefined && clock.monotonicMs() - readAtMs < readEveryMs) return;
    reading ??= read();
    const going = reading;
    const waiting = { clock, timeoutMs: readWaitMs, what: 'Reading the figures of the ledger' };
    await withDeadline(() => going, waiting).catch(() => {
      forgetLedger(ledger);
      ledger.figuresUp.set(0);
    });
  };
}

async function readOnce(
  { connection, ledger, clock }: CollectDeps,
  seen: { number: number },
): Promise<void> {
  const beganMs = clock.monotonicMs();
  const set = await readLedger(connection.db, clock.now());
  for (let look = 0; look < looksMax; look++) {
    const lately = await readLately(connection.db, seen.number);
    seen.number = lately.until;
    for (const { kind, count } of lately.events) ledger.events.inc({ kind }, count);
    for (const { kind, state, seconds } of lately.operations) {
      ledger.operationSeconds.observe({ kind, outcome: state }, seconds);
    }
    if (!lately.hasMore) break;
  }
  set(ledger);
  ledger.figuresSeconds.observe((clock.monotonicMs() - beganMs) / 1000);
}

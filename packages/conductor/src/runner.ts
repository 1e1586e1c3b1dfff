/** Runs reconcilers: at a wake-up of one of their topics, and at the latest every period. One pass of each at a time. */
import { backoffMs } from '@cyborg/service/backoff';
import { openSpan } from '@cyborg/service/tracing';

import type { ConductorDeps } from './deps.ts';
import type { PassReport, Reconciler } from './reconciler.ts';
import { passSpan } from './spans.ts';

/** What an operator sees of a reconciler. */
export interface ReconcilerStatus {
  readonly name: string;
  readonly passes: number;
  readonly failuresInARow: number;
  readonly lastReport: PassReport | undefined;
  readonly lastError: string | undefined;
  readonly lastFinishedAt: Date | undefined;
}

export interface RunningReconcilers {
  status(): readonly ReconcilerStatus[];
  /** Returns when the passes under way have ended; they are told by their signal. */
  stop(): Promise<void>;
}

/** A pass that has ended, for metrics. */
export interface EndedPass {
  readonly reconciler: string;
  readonly outcome: 'ok' | 'failed';
  readonly found: number;
  readonly seconds: number;
  /** What the pass said of itself. */
  readonly notes: Readonly<Record<string, number>>;
}

type RunnerDeps = Pick<ConductorDeps, 'clock' | 'rng' | 'log' | 'wake'> & {
  readonly onPass?: (pass: EndedPass) => void;
};

const failurePause = { firstMs: 100, maxMs: 5000 } as const;

export function startReconcilers(
  deps: RunnerDeps,
  reconcilers: readonly Reconciler[],
): RunningReconcilers {
  const stopping = new AbortController();
  const loops = reconcilers.map((reconciler) => startLoop(deps, reconciler, stopping.signal));
  return {
    status: () => loops.map((loop) => loop.status()),
    async stop() {
      stopping.abort(new Error('the server is stopping'));
      await Promise.all(loops.map((loop) => loop.ended));
    },
  };
}

interface Loop {
  readonly ended: Promise<void>;
  status(): ReconcilerStatus;
}

function startLoop(deps: RunnerDeps, reconciler: Reconciler, signal: AbortSignal): Loop {
  const bell = makeBell();
  let status: ReconcilerStatus = {
    name: reconciler.name,
    passes: 0,
    failuresInARow: 0,
    lastReport: undefined,
    lastError: undefined,
    lastFinishedAt: undefined,
  };
  const subscriptions = [...reconciler.topics, `due:${reconciler.name}` as const].map((topic) =>
    deps.wake.subscribe(topic, () => bell.ring()),
  );
  const passOnce = async (): Promise<number> => {
    const beganMs = deps.clock.monotonicMs();
    try {
      const report = await tracedPass(reconciler, signal);
      status = { ...status, failuresInARow: 0, lastReport: report, lastError: undefined };
      return report.full ? 0 : reconciler.periodMs;
    } catch (error) {
      status = { ...status, failuresInARow: status.failuresInARow + 1, lastError: String(error) };
      if (!signal.aborted)
        deps.log.warn({ err: error, reconciler: reconciler.name }, 'pass failed');
      return backoffMs(status.failuresInARow, failurePause, deps.rng);
    } finally {
      status = { ...status, passes: status.passes + 1, lastFinishedAt: deps.clock.now() };
      deps.onPass?.(toEndedPass(status, deps.clock.monotonicMs() - beganMs));
    }
  };
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      bell.reset();
      const pauseMs = await passOnce();
      if (pauseMs > 0) await ringOrPause(deps.clock, bell, { pauseMs, signal });
      if (pauseMs > 0 && reconciler.gatherMs !== undefined) {
        await deps.clock.sleep(reconciler.gatherMs, signal).catch(() => {});
      }
    }
    for (const subscription of subscriptions) subscription[Symbol.dispose]();
  };
  return { ended: run(), status: () => status };
}

function toEndedPass({ name, lastError, lastReport }: ReconcilerStatus, ms: number): EndedPass {
  const isOk = lastError === undefined;
  return {
    reconciler: name,
    outcome: isOk ? 'ok' : 'failed',
    found: isOk ? (lastReport?.found ?? 0) : 0,
    seconds: ms / 1000,
    notes: isOk ? (lastReport?.notes ?? {}) : {},
  };
}

/** Told of when there was something to do: most passes only look. */
async function tracedPass(reconciler: Reconciler, signal: AbortSignal): Promise<PassReport> {
  const span = openSpan(passSpan(reconciler.name), { beginsTrace: true });
  if (span === undefined) return reconciler.pass(signal);
  try {
    const report = await span.run(() => reconciler.pass(signal));
    span.set({ 'cyborg.found': report.found });
    if (report.found > 0) span.end();
    return report;
  } catch (error) {
    span.fail(error);
    span.end();
    throw error;
  }
}

interface Bell {
  ring(): void;
  /** Forgets earlier rings: what they asked for is done by the pass that follows. */
  reset(): void;
  readonly rung: Promise<void>;
}

function makeBell(): Bell {
  let current = Promise.withResolvers<void>();
  return {
    ring: () => current.resolve(),
    reset: () => {
      current = Promise.withResolvers<void>();
    },
    get rung() {
      return current.promise;
    },
  };
}

async function ringOrPause(
  clock: ConductorDeps['clock'],
  bell: Bell,
  { pauseMs, signal }: { pauseMs: number; signal: AbortSignal },
): Promise<void> {
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  const pause = clock.sleep(pauseMs, either).catch(() => {});
  await Promise.race([bell.rung, pause]);
  done.abort();
}

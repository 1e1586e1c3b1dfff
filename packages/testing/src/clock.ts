import { sleepWith } from '@cyborg/service/clock';
import type { Clock } from '@cyborg/service/clock';

/** A clock that stands still until the test moves it. */
export interface TestClock extends Clock {
  /** Moves both clocks on, firing the timers that become due, in order, and lets their promises run. */
  advance(ms: number): Promise<void>;
  /** Moves the wall clock alone, in either direction, as an administrator or NTP would. */
  jumpWallClock(ms: number): void;
  /** Timers and sleeps that wait. */
  readonly pendingTimers: number;
}

interface Timer {
  readonly dueMs: number;
  readonly fn: () => void;
}

export function makeTestClock(start: Date = new Date('2030-01-01T00:00:00Z')): TestClock {
  let wallMs = start.getTime();
  let monotonicMs = 0;
  const timers = new Set<Timer>();

  const setTimer: Clock['setTimer'] = (ms, fn) => {
    const timer = { dueMs: monotonicMs + Math.max(0, ms), fn };
    timers.add(timer);
    return { [Symbol.dispose]: () => void timers.delete(timer) };
  };
  const moveTo = (targetMs: number): void => {
    wallMs += targetMs - monotonicMs;
    monotonicMs = targetMs;
  };
  return {
    now: () => new Date(wallMs),
    monotonicMs: () => monotonicMs,
    setTimer,
    sleep: (ms, signal) => sleepWith(setTimer, ms, signal),
    async advance(ms): Promise<void> {
      const endMs = monotonicMs + ms;
      await settle();
      for (let next = firstDue(timers, endMs); next; next = firstDue(timers, endMs)) {
        timers.delete(next);
        moveTo(Math.max(monotonicMs, next.dueMs));
        next.fn();
        await settle();
      }
      moveTo(endMs);
    },
    jumpWallClock(ms): void {
      wallMs += ms;
    },
    get pendingTimers() {
      return timers.size;
    },
  };
}

function firstDue(timers: ReadonlySet<Timer>, endMs: number): Timer | undefined {
  let first: Timer | undefined;
  for (const timer of timers) {
    if (timer.dueMs <= endMs && (first === undefined || timer.dueMs < first.dueMs)) first = timer;
  }
  return first;
}

/** Lets every promise that can settle do so. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

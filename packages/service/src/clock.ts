/**
 * Time as an argument. Domain code takes a `Clock`; only the top of a program uses `systemClock`,
 * so that a test or a simulation can own the time.
 */
export interface Clock {
  /** Wall-clock time; may jump in either direction. */
  now(): Date;
  /** Milliseconds since an arbitrary start; never goes back. Measure durations and leases with it. */
  monotonicMs(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when that is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fn` once after `ms` milliseconds unless disposed before. */
  setTimer(ms: number, fn: () => void): Disposable;
}

/** Node fires a longer timer at once. */
const timerMsMax = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) => sleepWith(setSystemTimer, ms, signal),
  setTimer: setSystemTimer,
};

/** `Clock.sleep` made of `Clock.setTimer`. */
export function sleepWith(
  setTimer: Clock['setTimer'],
  ms: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      timer[Symbol.dispose]();
      reject(abortReason(signal));
    };
    const timer = setTimer(ms, () => {
      signal?.removeEventListener('abort', abort);
      resolve();
    });
    if (signal?.aborted === true) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}

/** The reason of an aborted signal as an error, whatever was given to `abort()`. */
export function abortReason(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new Error(`Aborted: ${String(reason)}`);
}

function setSystemTimer(ms: number, fn: () => void): Disposable {
  let handle: NodeJS.Timeout;
  const arm = (leftMs: number): void => {
    const stepMs = Math.min(leftMs, timerMsMax);
    handle = setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : fn()), stepMs);
  };
  arm(Math.max(0, ms));
  return { [Symbol.dispose]: () => clearTimeout(handle) };
}

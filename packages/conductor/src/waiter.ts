/** Waits for a wake-up without losing the one that comes between a look and the wait. */
import type { ConductorDeps } from './deps.ts';
import type { Topic } from './wake.ts';

export interface Waiter extends Disposable {
  /**
   * Returns at the first wake-up since the last call, after `recheckMs` at the latest, or when the signal is aborted.
   * Never throws.
   */
  wait(signal: AbortSignal): Promise<void>;
}

/** Make it before the first look. */
export function makeWaiter(
  deps: Pick<ConductorDeps, 'wake' | 'clock' | 'limits'>,
  topic: Topic,
): Waiter {
  let bell = Promise.withResolvers<void>();
  const subscription = deps.wake.subscribe(topic, () => bell.resolve());
  return {
    async wait(signal) {
      const done = new AbortController();
      const pause = deps.clock
        .sleep(deps.limits.recheckMs, AbortSignal.any([signal, done.signal]))
        .catch(() => undefined); // aborted: the caller looks at its signal
      await Promise.race([bell.promise, pause]);
      done.abort();
      bell = Promise.withResolvers();
    },
    [Symbol.dispose]: () => subscription[Symbol.dispose](),
  };
}

import type { Clock } from '@cyborg/service/clock';

/** A pause that can be cut short. A wake before the wait is not lost. */
export class Waker {
  #isWoken = false;
  #end: (() => void) | undefined;

  wake(): void {
    this.#isWoken = true;
    this.#end?.();
  }

  /** Returns after `ms`, or when woken, or when the signal is aborted. */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#isWoken && !signal.aborted) {
      const ended = Promise.withResolvers<void>();
      const end = (): void => ended.resolve();
      this.#end = end;
      signal.addEventListener('abort', end, { once: true });
      using _timer = clock.setTimer(ms, end);
      await ended.promise;
      signal.removeEventListener('abort', end);
      this.#end = undefined;
    }
    this.#isWoken = false;
  }
}

import { abortReason } from './clock.ts';
import type { Clock } from './clock.ts';

export class DeadlineExceeded extends Error {
  override readonly name = 'DeadlineExceeded';
  readonly timeoutMs: number;

  constructor(what: string, timeoutMs: number) {
    super(`${what} did not finish within ${timeoutMs} ms.`);
    this.timeoutMs = timeoutMs;
  }
}

export interface DeadlineOptions {
  readonly clock: Pick<Clock, 'setTimer'>;
  readonly timeoutMs: number;
  /** Names the work in the error. */
  readonly what: string;
  /** Gives up early, with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `work` for at most `timeoutMs`. Its signal is aborted when time is up or the caller gives up;
 * work that ignores it goes on unseen, but the returned promise has settled.
 *
 * @throws {DeadlineExceeded}
 */
export async function withDeadline<Result>(
  work: (signal: AbortSignal) => Promise<Result>,
  { clock, timeoutMs, what, signal }: DeadlineOptions,
): Promise<Result> {
  if (signal?.aborted === true) throw abortReason(signal);
  const controller = new AbortController();
  const giveUp = Promise.withResolvers<never>();
  const end = (error: Error): void => {
    controller.abort(error);
    giveUp.reject(error);
  };
  const abort = (): void => end(abortReason(signal));
  signal?.addEventListener('abort', abort, { once: true });
  using _timer = clock.setTimer(timeoutMs, () => end(new DeadlineExceeded(what, timeoutMs)));
  try {
    return await Promise.race([work(controller.signal), giveUp.promise]);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

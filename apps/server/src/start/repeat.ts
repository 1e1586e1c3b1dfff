import type { Clock } from '@cyborg/service/clock';
import type { Logger } from '@cyborg/service/logging';

export interface Repeated {
  readonly what: string;
  readonly everyMs: number;
  readonly run: () => Promise<void>;
}

/** Runs something every so often, one at a time, until disposed; a failure is logged and the next run comes. */
export function repeat(
  { clock, log }: { clock: Clock; log: Pick<Logger, 'warn'> },
  { what, everyMs, run }: Repeated,
): AsyncDisposable {
  const stopping = new AbortController();
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await clock.sleep(everyMs, stopping.signal).catch(() => {});
      if (stopping.signal.aborted) return;
      await run().catch((error: unknown) => log.warn({ err: error }, `${what} failed`));
    }
  };
  const ended = loop();
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await ended;
    },
  };
}

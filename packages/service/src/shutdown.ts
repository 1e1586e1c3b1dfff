import { withDeadline } from './deadline.ts';
import type { Clock } from './clock.ts';
import type { Logger } from './logging.ts';

export interface ShutdownOptions {
  readonly clock: Clock;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** For all steps together. */
  readonly timeLimitMs: number;
  /** Ends the process: `process.exit`. */
  readonly exit: (code: number) => void;
}

/** An orderly end: what was started last is stopped first. */
export interface Shutdown {
  /** Aborted when the end begins; long waits should listen to it. */
  readonly signal: AbortSignal;
  /** Adds a step, to be run before those added earlier. A step that fails does not keep the others from running. */
  add(name: string, stop: () => Promise<void> | void): void;
  /** Begins the end (once) and exits with `code`, or 1 when a step failed or the time limit passed. */
  begin(reason: string, code?: number): Promise<void>;
  /** SIGTERM and SIGINT begin the end; a second one exits at once with 128 + its number. */
  listen(emitter: SignalEmitter): void;
}

export interface SignalEmitter {
  on(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown;
}

interface Step {
  readonly name: string;
  readonly stop: () => Promise<void> | void;
}

const signalNumbers = { SIGINT: 2, SIGTERM: 15 } as const;

export function makeShutdown(options: ShutdownOptions): Shutdown {
  const { log, exit } = options;
  const steps: Step[] = [];
  const controller = new AbortController();
  let ending: Promise<void> | undefined;

  const begin = (reason: string, code = 0): Promise<void> => {
    ending ??= (async () => {
      log.info({ reason }, 'shutting down');
      controller.abort(new Error(`shutting down: ${reason}`));
      const isClean = await runSteps(steps, options);
      exit(isClean ? code : 1);
    })();
    return ending;
  };
  return {
    signal: controller.signal,
    add: (name, stop) => void steps.unshift({ name, stop }),
    begin,
    listen(emitter): void {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        emitter.on(signal, () => {
          if (ending === undefined) return void begin(signal);
          log.warn({ signal }, 'second signal: leaving at once');
          exit(128 + signalNumbers[signal]);
        });
      }
    },
  };
}

async function runSteps(
  steps: readonly Step[],
  { clock, log, timeLimitMs }: ShutdownOptions,
): Promise<boolean> {
  const end = clock.monotonicMs() + timeLimitMs;
  let isClean = true;
  for (const { name, stop } of steps) {
    const timeoutMs = Math.max(0, end - clock.monotonicMs());
    try {
      await withDeadline(async () => stop(), { clock, timeoutMs, what: `Stopping ${name}` });
    } catch (error) {
      isClean = false;
      log.error({ err: error, step: name }, 'a part did not stop in order');
    }
  }
  return isClean;
}

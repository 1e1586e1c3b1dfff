import type { StoreLog } from '../log.ts';
import type { Postmaster } from './postmaster.ts';
import type { EmbeddedClock } from './until.ts';

export type EmbeddedStatus =
  | { readonly state: 'running'; readonly pid: number }
  | { readonly state: 'restarting'; readonly reason: string }
  | { readonly state: 'stopped' };

export interface SuperviseOptions {
  readonly first: Postmaster;
  /** Makes one attempt. */
  readonly start: () => Promise<Postmaster>;
  readonly clock: EmbeddedClock;
  readonly log: StoreLog;
  /** Aborted by `stop`; ends an attempt that is under way. */
  readonly stopping: AbortController;
}

export interface Supervisor {
  pid(): number | undefined;
  status(): EmbeddedStatus;
  stop(): Promise<void>;
}

const restartPauseMsMin = 100;
const restartPauseMsMax = 5_000;

/** Starts postgres again whenever it ends unasked, for as long as it takes. */
export function supervise({ first, start, clock, log, stopping }: SuperviseOptions): Supervisor {
  let current: Postmaster | undefined = first;
  let status: EmbeddedStatus = { state: 'running', pid: first.pid };
  const { signal } = stopping;

  const fail = (reason: string): void => {
    status = { state: 'restarting', reason };
    log.error({ reason }, 'the embedded PostgreSQL is down; starting it again');
  };
  const restart = async (): Promise<Postmaster | undefined> => {
    for (let pauseMs = restartPauseMsMin; !signal.aborted; pauseMs *= 2) {
      try {
        return await start();
      } catch (error) {
        if (signal.aborted) return undefined;
        fail(error instanceof Error ? error.message : String(error));
        await clock.sleep(Math.min(pauseMs, restartPauseMsMax), signal).catch(() => undefined);
      }
    }
    return undefined;
  };
  const watch = async (): Promise<void> => {
    for (let running: Postmaster | undefined = first; running !== undefined;) {
      await running.exited;
      if (signal.aborted) return;
      current = undefined;
      fail(`the process ${running.pid} ended`);
      running = await restart();
      if (running === undefined) return;
      current = running;
      status = { state: 'running', pid: running.pid };
      log.info({ postgresPid: running.pid }, 'PostgreSQL is ready again');
    }
  };
  const watching = watch();
  return {
    pid: () => current?.pid,
    status: () => status,
    async stop(): Promise<void> {
      stopping.abort();
      await current?.stop();
      await watching;
      status = { state: 'stopped' };
      current = undefined;
    },
  };
}

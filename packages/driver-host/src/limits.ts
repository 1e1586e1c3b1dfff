import type { DriverMethod } from '@cyborg/driver-sdk/protocol';

/** What a driver may take and how it is treated. Times in ms. */
export interface DriverLimits {
  /** A request that is not answered by then is cancelled. */
  readonly deadlineMs: Readonly<Record<DriverMethod, number>>;
  /** A driver that does not even answer the cancellation within this is killed. */
  readonly cancelGraceMs: number;
  readonly restartFirstMs: number;
  readonly restartMaxMs: number;
  /** That many crashes within the window: quarantine. */
  readonly crashesMax: number;
  readonly crashWindowMs: number;
  /** How long running calls may take when a driver is replaced by another version. */
  readonly drainMs: number;
}

export const driverLimits: DriverLimits = {
  deadlineMs: {
    initialize: 15_000,
    install: 60_000,
    uninstall: 60_000,
    discover: 60_000,
    prepare: 60_000,
    release: 60_000,
    clean: 120_000,
    update: 600_000,
    stats: 10_000,
    health: 10_000,
    shutdown: 5_000,
  },
  cancelGraceMs: 5_000,
  restartFirstMs: 500,
  restartMaxMs: 60_000,
  crashesMax: 5,
  crashWindowMs: 300_000,
  drainMs: 60_000,
};

/** The same with more time for every answer: for a machine that is emulated or overloaded. */
export function patient(limits: DriverLimits, factor: number): DriverLimits {
  const entries = Object.entries(limits.deadlineMs).map(([method, ms]) => [method, ms * factor]);
  return {
    ...limits,
    deadlineMs: { ...limits.deadlineMs, ...Object.fromEntries(entries) },
    cancelGraceMs: limits.cancelGraceMs * factor,
  };
}

export const streamLimits = {
  headerBytesMax: 1024,
  /** Frames that no request of ours asked for may come in such a burst. */
  unaskedFramesBurst: 400,
  stderrKeptBytes: 16 * 1024,
  stderrLineCharactersMax: 2000,
  /** Above this in a second a driver's stderr is not even read, and the driver waits. */
  stderrReadBytesPerSecondMax: 1024 * 1024,
  heapMiBMax: 256,
  /** Private memory of a driver that is not Node's. */
  programDataMiBMax: 1024,
  openFilesMax: 1024,
  niceness: 5,
  /** Threads of the user that all drivers of a root agent run as, theirs and anybody's. A Node process has about 12. */
  userThreadsMax: 4096,
} as const;

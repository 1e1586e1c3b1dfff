/** What the CLI touches of the world, passed in at the top. */
export interface Io {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder that `~` names. */
  readonly home: string;
  readonly workingDirectory: string;
  readonly clock: CliClock;
  readonly rng: CliRng;
  /** Until disposed, Ctrl-C prints this before the process ends. */
  readonly onInterrupt: (describe: () => string) => Disposable;
}

/** Fits `Clock` of @cyborg/service, and what the HTTP client asks for. */
export interface CliClock {
  monotonicMs(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  setTimer(ms: number, fn: () => void): Disposable;
}

/** Fits `Rng` of @cyborg/service, and what the HTTP client asks for. */
export interface CliRng {
  uuid(): string;
  fraction(): number;
}

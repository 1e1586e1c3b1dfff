/**
 * Runs a driver's scan of the kernel's trees in a thread that may be abandoned, so that a file which blocks costs that
 * file and not the driver: the thread says which path it is about to read; when one takes too long, the path is
 * skipped from then on (taken for unreadable) and the scan starts again in a new thread.
 */
import { Worker } from 'node:worker_threads';
import { DriverError } from './errors.ts';
import { makeProgress, ProgressReader } from './scan-progress.ts';
import { TreeReader } from './sysfs.ts';

/** What a driver's scan module exports as `scan`. Must depend on its arguments alone. */
export type Scan<Input, Output> = (input: Input, reader: TreeReader) => Output;

export interface ScanLimits {
  /** A single read, link or listing that takes longer is given up. */
  readonly readMsMax: number;
  /** The thread ends when it had nothing to do for so long: at rest a driver should be small. */
  readonly idleMs: number;
  /** With more files than these that hang, something else is wrong, and the scan fails. */
  readonly blockedPathsMax: number;
}

const defaultLimits: ScanLimits = { readMsMax: 2000, idleMs: 10_000, blockedPathsMax: 8 };

export interface ScanThreadOptions {
  /** The module that exports `scan`. */
  readonly module: URL;
  readonly limits?: Partial<ScanLimits>;
  /** Called for each path that is given up. */
  readonly onBlocked?: (path: string) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly progress: ProgressReader;
}

type Outcome<Output> = { readonly output: Output } | { readonly blocked: string };
type Answer<Output> = { readonly output: Output } | { readonly error: string };

export class ScanThread<Input, Output> {
  readonly #module: URL;
  readonly #limits: ScanLimits;
  readonly #onBlocked: (path: string) => void;
  readonly #blocked = new Set<string>();
  #thread: Thread | undefined;
  #idle: NodeJS.Timeout | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #isStuck = false;

  constructor({ module, limits, onBlocked = () => undefined }: ScanThreadOptions) {
    this.#module = module;
    this.#limits = { ...defaultLimits, ...limits };
    this.#onBlocked = onBlocked;
  }

  /** Paths given up so far, for the life of this object. */
  get blockedPaths(): readonly string[] {
    return [...this.#blocked];
  }

  /** Starts the thread ahead of the first scan. */
  warm(): void {
    if (!isThreadAllowed()) return;
    this.#thread ??= this.#start();
    this.#rest();
  }

  /**
   * One scan; scans run one after the other.
   * @throws DriverError `transient` when too many files hang; what the scan itself throws, as an Error.
   */
  async run(input: Input, signal: AbortSignal): Promise<Output> {
    const turn = this.#queue.then(async () => await this.#runUntilThrough(input, signal));
    this.#queue = turn.catch(() => undefined);
    return await turn;
  }

  /** Ends the thread. `stuck`: one hangs in a system call, and the process cannot end by itself. */
  async close(): Promise<'clean' | 'stuck'> {
    clearTimeout(this.#idle);
    if (this.#isStuck) return 'stuck';
    await this.#thread?.worker.terminate();
    return 'clean';
  }

  async #runUntilThrough(input: Input, signal: AbortSignal): Promise<Output> {
    if (!isThreadAllowed()) return await this.#runHere(input);
    for (;;) {
      signal.throwIfAborted();
      const outcome = await this.#runOnce(input, signal);
      if ('output' in outcome) return outcome.output;
      this.#blocked.add(outcome.blocked);
      this.#onBlocked(outcome.blocked);
      if (this.#blocked.size > this.#limits.blockedPathsMax) {
        const message = `${this.#blocked.size} files do not answer, the last is ${outcome.blocked}`;
        throw new DriverError('transient', message);
      }
    }
  }

  /** Under a permission model without workers: a file that blocks then blocks us until the agent ends the process. */
  async #runHere(input: Input): Promise<Output> {
    const { scan } = (await import(this.#module.href)) as { scan: Scan<Input, Output> };
    return scan(input, new TreeReader());
  }

  async #runOnce(input: Input, signal: AbortSignal): Promise<Outcome<Output>> {
    clearTimeout(this.#idle);
    const thread = (this.#thread ??= this.#start());
    const ending = new AbortController();
    thread.worker.ref();
    try {
      const outcome = this.#outcomeOf(thread, AbortSignal.any([signal, ending.signal]));
      thread.worker.postMessage({ input, skip: [...this.#blocked] });
      return await outcome;
    } finally {
      ending.abort();
      thread.worker.removeAllListeners();
      thread.worker.on('error', () => undefined); // of a thread that was abandoned: nobody waits for it
      this.#rest();
    }
  }

  /** Settles by the thread's answer, its end, a read that hangs, or the signal. */
  async #outcomeOf(thread: Thread, signal: AbortSignal): Promise<Outcome<Output>> {
    const { worker, progress } = thread;
    let isSettled = false;
    const outcome = new Promise<Outcome<Output>>((resolve, reject) => {
      const everyMs = Math.max(20, Math.min(250, this.#limits.readMsMax / 4));
      const poll = setInterval(() => {
        const reading = progress.current();
        if (reading === undefined || reading.ageMs < this.#limits.readMsMax) return;
        this.#abandon(thread);
        resolve({ blocked: reading.path });
      }, everyMs);
      signal.addEventListener(
        'abort',
        () => {
          clearInterval(poll);
          if (isSettled) return;
          this.#abandon(thread);
          reject(new DriverError('transient', 'the scan was cancelled'));
        },
        { once: true },
      );
      worker.on('message', (answer: Answer<Output>) => {
        if ('output' in answer) resolve(answer);
        else reject(new Error(answer.error));
      });
      worker.on('error', reject);
      worker.on('exit', () => {
        this.#thread = undefined;
        reject(new DriverError('transient', 'the scanning thread ended half-way'));
      });
    });
    try {
      return await outcome;
    } finally {
      isSettled = true;
    }
  }

  #start(): Thread {
    const shared = makeProgress();
    const worker = new Worker(new URL('./scan-worker.ts', import.meta.url), {
      workerData: { module: this.#module.href, progress: shared },
      resourceLimits: { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 256 },
    });
    return { worker, progress: new ProgressReader(shared, () => performance.now()) };
  }

  #abandon({ worker, progress }: Thread): void {
    if (progress.current() !== undefined) this.#isStuck = true;
    worker.unref();
    void worker.terminate(); // takes as long as the read hangs: not waited for
    this.#thread = undefined;
  }

  #rest(): void {
    clearTimeout(this.#idle);
    this.#thread?.worker.unref();
    this.#idle = setTimeout(() => {
      void this.#thread?.worker.terminate();
      this.#thread = undefined;
    }, this.#limits.idleMs).unref();
  }
}

function isThreadAllowed(): boolean {
  return process.permission?.has('worker') ?? true;
}

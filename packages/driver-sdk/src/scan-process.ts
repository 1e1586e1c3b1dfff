/**
 * Runs a driver's scan of the kernel's trees in a process that may be killed, so that a file which blocks costs that
 * file and not the driver: the process says which path it was reading when it hung; that path is skipped from then on
 * (taken for unreadable), and the scan starts again. A process rather than a thread, because a thread in a hung read
 * cannot be ended, and because at rest, between scans, its memory is gone.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { DriverError } from './errors.ts';
import { TreeReader } from './sysfs.ts';

/** Asks the process that wanted the scan; question and answer are JSON. Rejects with an Error. */
export type Ask = (question: unknown) => Promise<unknown>;

/** What a driver's scan module exports as `scan`. Must depend on its arguments alone; input and output are JSON. */
export type Scan<Input, Output> = (
  input: Input,
  reader: TreeReader,
  ask: Ask,
) => Output | Promise<Output>;

export interface ScanLimits {
  /** A single read, link or listing that takes longer is given up. */
  readonly readMsMax: number;
  /** The process ends when it had nothing to do for so long: at rest a driver should be small. */
  readonly idleMs: number;
  /** With more files than these that hang, something else is wrong, and the scan fails. */
  readonly blockedPathsMax: number;
}

const defaultLimits: ScanLimits = { readMsMax: 2000, idleMs: 5000, blockedPathsMax: 8 };

export interface ScanProcessOptions {
  /** The module that exports `scan`. */
  readonly module: URL;
  readonly limits?: Partial<ScanLimits>;
  /** Node's options for the process; this process's when absent. */
  readonly execArgv?: readonly string[];
  /** Called for each path that is given up. */
  readonly onBlocked?: (path: string) => void;
}

/** To scan-child.ts. */
export interface ScanOrder {
  readonly input: unknown;
  readonly skip: readonly string[];
}
export type ScanReply = { readonly reply: unknown } | { readonly refusal: string };
/** From scan-child.ts. The output is sent as text: cloning a thousand small objects takes three times as long. */
export type ScanAnswer =
  | { readonly json: string }
  | { readonly error: string }
  | { readonly question: unknown };

export interface ScanCall {
  readonly signal: AbortSignal;
  /** Answers what the scan asks. */
  readonly onQuestion?: Ask;
}

/** The pipe on which the child's watchdog names the path that hangs. */
export const blockedPathFd = 4;

type Outcome<Output> = { readonly output: Output } | { readonly blocked: string };

export class ScanProcess<Input, Output> {
  readonly #module: URL;
  readonly #limits: ScanLimits;
  readonly #execArgv: readonly string[];
  readonly #onBlocked: (path: string) => void;
  readonly #blocked = new Set<string>();
  #child: ChildProcess | undefined;
  #idle: NodeJS.Timeout | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  constructor({ module, limits, execArgv, onBlocked = () => undefined }: ScanProcessOptions) {
    this.#module = module;
    this.#limits = { ...defaultLimits, ...limits };
    this.#execArgv = execArgv ?? process.execArgv;
    this.#onBlocked = onBlocked;
  }

  /** Paths given up so far, for the life of this object. */
  get blockedPaths(): readonly string[] {
    return [...this.#blocked];
  }

  /** Starts the process ahead of the first scan. */
  warm(): void {
    if (!isChildAllowed()) return;
    this.#child ??= this.#start();
    this.#rest();
  }

  /**
   * One scan; scans run one after the other.
   * @throws DriverError `transient` when too many files hang or the scan is cancelled; what the scan throws, as an Error.
   */
  async run(input: Input, call: ScanCall): Promise<Output> {
    const turn = this.#queue.then(async () => await this.#runUntilThrough(input, call));
    this.#queue = turn.catch(() => undefined);
    return await turn;
  }

  close(): void {
    clearTimeout(this.#idle);
    this.#end();
  }

  async #runUntilThrough(input: Input, call: ScanCall): Promise<Output> {
    if (!isChildAllowed()) return await this.#runHere(input, call);
    for (;;) {
      if (call.signal.aborted) throw cancelled();
      const outcome = await this.#runOnce(input, call);
      if ('output' in outcome) return outcome.output;
      this.#blocked.add(outcome.blocked);
      this.#onBlocked(outcome.blocked);
      if (this.#blocked.size > this.#limits.blockedPathsMax) {
        const message = `${this.#blocked.size} files do not answer, the last is ${outcome.blocked}`;
        throw new DriverError('transient', message);
      }
    }
  }

  /** Under a permission model without child processes: a file that blocks then blocks us until the agent ends us. */
  async #runHere(input: Input, { onQuestion = refuse }: ScanCall): Promise<Output> {
    const { scan } = (await import(this.#module.href)) as { scan: Scan<Input, Output> };
    return await scan(input, new TreeReader(), onQuestion);
  }

  async #runOnce(input: Input, call: ScanCall): Promise<Outcome<Output>> {
    clearTimeout(this.#idle);
    const child = (this.#child ??= this.#start());
    child.ref();
    child.channel?.ref();
    const order: ScanOrder = { input, skip: [...this.#blocked] };
    try {
      const outcome = outcomeOf<Output>(child, call);
      child.send(order, () => undefined); // a child that cannot be written to has ended, which is listened for
      const settled = await outcome;
      if ('blocked' in settled) this.#end();
      return settled;
    } catch (error) {
      this.#end();
      throw error;
    } finally {
      this.#rest();
    }
  }

  #start(): ChildProcess {
    const entry = fileURLToPath(new URL('./scan-child.ts', import.meta.url));
    // Its stdout must not be ours: that is the protocol's.
    const stdio = ['ignore', 'ignore', 'inherit', 'ipc', 'pipe'] as const;
    const words = [this.#module.href, String(this.#limits.readMsMax)];
    // It needs nothing of our environment, which may hold secrets.
    const child = fork(entry, words, {
      stdio: [...stdio],
      serialization: 'advanced',
      execArgv: [...this.#execArgv],
      env: {},
    });
    child.on('error', () => undefined); // also when nobody waits for it any more
    child.on('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    return child;
  }

  /** Not waited for: a process that hangs in the kernel ends when the kernel lets it. */
  #end(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  #rest(): void {
    clearTimeout(this.#idle);
    this.#child?.unref();
    this.#child?.channel?.unref();
    this.#idle = setTimeout(() => this.#end(), this.#limits.idleMs).unref();
  }
}

/** Settles by the child's answer, its end, a path that it names as hanging, or the signal. */
async function outcomeOf<Output>(
  child: ChildProcess,
  { signal, onQuestion = refuse }: ScanCall,
): Promise<Outcome<Output>> {
  using cleanUp = new DisposableStack();
  const pipe = child.stdio[blockedPathFd];
  return await new Promise<Outcome<Output>>((resolve, reject) => {
    const onMessage = (answer: unknown): void => {
      const known = answer as ScanAnswer; // scan-child.ts sends nothing else
      if ('json' in known) resolve({ output: JSON.parse(known.json) as Output });
      else if ('question' in known) void reply(child, onQuestion(known.question));
      else reject(new Error(known.error));
    };
    const onExit = (): void => reject(new DriverError('transient', 'the scan was ended half-way'));
    const onBlocked = (path: Buffer): void => resolve({ blocked: path.toString('utf8') });
    const onAbort = (): void => reject(cancelled());
    child.on('message', onMessage).on('exit', onExit);
    cleanUp.defer(() => child.off('message', onMessage).off('exit', onExit));
    if (pipe instanceof Readable) {
      pipe.on('data', onBlocked);
      cleanUp.defer(() => pipe.off('data', onBlocked));
    }
    signal.addEventListener('abort', onAbort, { once: true });
    cleanUp.defer(() => signal.removeEventListener('abort', onAbort));
  });
}

/** A child that has ended meanwhile needs no answer. */
async function reply(child: ChildProcess, answer: Promise<unknown>): Promise<void> {
  const message: ScanReply = await answer.then(
    (value) => ({ reply: value }),
    (error: unknown) => ({ refusal: error instanceof Error ? error.message : String(error) }),
  );
  if (child.connected) child.send(message, () => undefined);
}

async function refuse(): Promise<never> {
  throw new Error('nobody answers the questions of this scan');
}

function cancelled(): DriverError {
  return new DriverError('transient', 'the scan was cancelled');
}

function isChildAllowed(): boolean {
  return process.permission?.has('child') ?? true;
}

/**
 * Hears at once of cards that come and go: the kernel's uevents of PCI functions, through one child. What it says is a
 * hint to look, never a fact: the drivers look, and a slow look at everything goes on beside it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { backoffMs } from '@cyborg/service/backoff';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { agentDefaults } from '../limits.ts';
import type { Log } from '../log.ts';

/** Dies with us; udevadm reads the kernel's socket, not udevd's: it needs no udevd. */
export const pciEventsCommand: readonly string[] =
  'setpriv --pdeathsig KILL udevadm monitor --kernel --subsystem-match=pci'.split(' ');

export interface HardwareEventsOptions {
  /** Prints `KERNEL[<seconds>] <action> <path> (pci)` a line. */
  readonly command: readonly string[];
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  /** It is time to look: something came, went or changed its driver, or may have while nobody listened. */
  readonly onChange: () => void;
}

const limits = agentDefaults.hardwareEvents;
/** A driver that is bound or unbound: what an attach does itself, so there is no hurry. */
const slowActions = new Set(['bind', 'unbind']);

/** Follows the events until the signal ends it; a child that ends is started again. */
export async function followHardwareEvents(
  options: HardwareEventsOptions,
  signal: AbortSignal,
): Promise<void> {
  const { clock, rng, log, onChange } = options;
  using cards = new Settled(clock, { settleMs: limits.settleMs, onChange });
  using drivers = new Settled(clock, { settleMs: limits.driverSettleMs, onChange });
  for (let attempt = 0; !signal.aborted;) {
    const startedMs = clock.monotonicMs();
    const isFirst = attempt === 0;
    const reason = await listen(options.command, signal, {
      onListening: isFirst ? () => undefined : onChange,
      onAction: (action) => (slowActions.has(action) ? drivers : cards).note(),
    });
    if (signal.aborted) return;
    const hasHeld = clock.monotonicMs() - startedMs > limits.heldMs;
    attempt = hasHeld ? 1 : attempt + 1;
    log.warn({ reason }, 'nothing tells of cards that come and go until this is started again');
    const bounds = { firstMs: limits.againFirstMs, maxMs: limits.againMsMax };
    await clock.sleep(backoffMs(attempt, bounds, rng), signal).catch(() => undefined);
  }
}

interface Listener {
  /** It has said its first word: what happens from now on is heard. */
  readonly onListening: () => void;
  readonly onAction: (action: string) => void;
}

/** @returns why it ended. */
async function listen(
  [command = '', ...args]: readonly string[],
  signal: AbortSignal,
  { onListening, onAction }: Listener,
): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const kill = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  const lines = new Lines((line) => {
    const action = /^KERNEL\[[\d.]+\] +([a-z]+) /.exec(line)?.[1];
    if (action !== undefined) onAction(action);
  });
  child.stdout.once('data', onListening);
  child.stdout.on('data', (chunk: Buffer) => lines.push(chunk));
  try {
    return await endOf(child);
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

async function endOf(child: ChildProcess): Promise<string> {
  try {
    const [code, signal]: unknown[] = await once(child, 'close');
    return `${child.spawnfile} ended with ${String(signal ?? code)}`;
  } catch (error) {
    return `${child.spawnfile} cannot be started: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Cuts what comes into lines; a line without an end is not kept for ever. */
class Lines {
  readonly #onLine: (line: string) => void;
  #rest = '';

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString('latin1')).split('\n');
    this.#rest = (lines.pop() ?? '').slice(-limits.lineCharactersMax);
    for (const line of lines) this.#onLine(line);
  }
}

/** Calls once for many: when nothing was noted for a while, and at the latest some time after the first. */
class Settled implements Disposable {
  readonly #clock: Clock;
  readonly #settleMs: number;
  readonly #onChange: () => void;
  #firstMs: number | undefined;
  #timer: Disposable | undefined;

  constructor(clock: Clock, { settleMs, onChange }: { settleMs: number; onChange: () => void }) {
    this.#clock = clock;
    this.#settleMs = settleMs;
    this.#onChange = onChange;
  }

  note(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#firstMs ??= nowMs;
    const leftMs = this.#firstMs + limits.settleMsMax - nowMs;
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#clock.setTimer(Math.max(0, Math.min(this.#settleMs, leftMs)), () => {
      this.#firstMs = undefined;
      this.#onChange();
    });
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }
}

/** One privileged act in a process of its own, which is left behind when the kernel does not let it end. */
import { fork, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { DriverCallError } from '@cyborg/driver-host/driver-error';
import type { Clock } from '@cyborg/service/clock';
import { messageOf } from '../hypervisors/node-error.ts';
import { agentDefaults } from '../limits.ts';
import { actSteps, type ActStep } from '../steps.ts';
import type {
  ActChanges,
  ActDone,
  ActFailure,
  ActOrder,
  ActQuestion,
  FromChild,
  ToChild,
} from './act-order.ts';

const childLimit = { heapMiBMax: 96 } as const;
/** A process that waits in the kernel at both looks hangs; one that only reads slowly does not. */
const looksApartMs = 500;

export interface ActProcessDeps {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly answer: (question: ActQuestion) => Promise<unknown>;
  readonly onStep: (step: ActStep) => void;
}

export class FailedAct extends DriverCallError {
  readonly changes: ActChanges;

  constructor({ code, message, ...changes }: ActFailure) {
    super(code, message);
    this.changes = changes;
  }
}

interface Late {
  readonly timeoutMs: number;
  /** Which it began last. */
  readonly step: ActStep | undefined;
  readonly fail: (error: Error) => void;
}

interface LeftBehind {
  readonly method: string;
  readonly pid: number | undefined;
}

export class ActProcesses {
  /** By address: acts whose process did not end in time, and has not ended since. */
  readonly #leftBehind = new Map<string, LeftBehind>();
  readonly #running = new Set<number>();

  /** Process ids, also of those that were left behind. */
  running(): readonly number[] {
    return [...this.#running];
  }

  /** @throws DriverCallError */
  async run(order: ActOrder, deps: ActProcessDeps): Promise<ActDone> {
    const address = String(order.params['address']);
    const stuck = this.#leftBehind.get(address);
    if (stuck !== undefined) {
      throw new DriverCallError(
        'transient',
        `An earlier ${stuck.method} of ${address} hangs in the kernel (process ${stuck.pid}): nothing more is done to it until that ends. If it does not, restart the host; its other accelerators work.`,
      );
    }
    const child = fork(fileURLToPath(new URL('./child/main.ts', import.meta.url)), [], {
      execArgv: [`--max-old-space-size=${childLimit.heapMiBMax}`],
      env: {},
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    const { pid } = child;
    if (pid !== undefined) {
      this.#running.add(pid);
      child.once('exit', () => this.#running.delete(pid));
    }
    try {
      return await this.#converse(child, order, deps);
    } finally {
      child.kill('SIGKILL');
      child.unref();
      if (child.connected) child.disconnect();
    }
  }

  async #converse(
    child: ChildProcess,
    order: ActOrder,
    { clock, timeoutMs, answer, onStep }: ActProcessDeps,
  ): Promise<ActDone> {
    const outcome = Promise.withResolvers<ActDone>();
    const fail = (error: Error): void => outcome.reject(error);
    let step: ActStep | undefined;
    child.on('message', (message) => {
      const said = message as FromChild; // our own child
      if ('step' in said) onStep((step = said.step));
      else if ('question' in said) void reply(child, answer(said.question));
      else if ('done' in said) outcome.resolve(said.done);
      else fail(new FailedAct(said.failed));
    });
    child.once('error', fail);
    child.once('exit', () =>
      fail(new DriverCallError('transient', `The process of ${order.method} ended half-way.`)),
    );
    const giveUp = (ms: number): void =>
      void this.#giveUp(child, order, { timeoutMs: ms, step, fail });
    using _late = clock.setTimer(timeoutMs, () => giveUp(timeoutMs));
    // Patience is for slow processors. What hangs is told while the driver still waits for the answer.
    const hangMs = Math.min(timeoutMs, agentDefaults.privilegedActTimeoutMs);
    const look = async (): Promise<void> => {
      if (await hangs(child.pid, clock)) giveUp(hangMs);
    };
    using _hanging = clock.setTimer(hangMs, () => void look());
    say(child, { order });
    return await outcome.promise;
  }

  /** A write into sysfs may hang for good, and then no signal ends the process: it is left behind. */
  async #giveUp(
    child: ChildProcess,
    { method, params }: ActOrder,
    { timeoutMs, step, fail }: Late,
  ): Promise<void> {
    const address = String(params['address']);
    if (child.exitCode === null && child.signalCode === null) {
      this.#leftBehind.set(address, { method, pid: child.pid });
      child.once('exit', () => this.#leftBehind.delete(address));
    }
    const state = await stateOf(child.pid);
    const where = state === 'D' ? 'hangs in the kernel (state D)' : 'was ended';
    fail(
      new DriverCallError(
        'transient',
        `${method} of ${address} was not done within ${timeoutMs} ms: process ${child.pid} ${where}${placeOf(method, step)}. It may still happen; the other accelerators of this host are not affected.`,
      ),
    );
  }
}

/** ` at “unbind” of note, override, unbind, probe`: what was done and what was not. */
function placeOf(method: string, step: ActStep | undefined): string {
  if (step === undefined) return '';
  const all = Object.entries(actSteps).find(([name]) => name === method)?.[1] ?? [step];
  return ` at “${step}” of ${all.join(', ')}`;
}

async function hangs(pid: number | undefined, clock: Clock): Promise<boolean> {
  if ((await stateOf(pid)) !== 'D') return false;
  await clock.sleep(looksApartMs);
  return (await stateOf(pid)) === 'D';
}

async function stateOf(pid: number | undefined): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2)[0];
  } catch {
    return undefined; // ended meanwhile
  }
}

async function reply(child: ChildProcess, answer: Promise<unknown>): Promise<void> {
  say(
    child,
    await answer.then(
      (value) => ({ reply: value ?? null }),
      (error: unknown) => ({ refusal: messageOf(error) }),
    ),
  );
}

/** A child that has ended meanwhile needs no word. */
function say(child: ChildProcess, message: ToChild): void {
  if (child.connected) child.send(message, () => undefined);
}

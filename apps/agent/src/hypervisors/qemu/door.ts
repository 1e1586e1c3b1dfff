import type { Clock } from '@cyborg/service/clock';
import type { QmpEvent } from './messages.ts';
import { QmpConnection, QmpError } from './qmp.ts';

export const doorLimits = {
  /**
   * While watching, a connection stays open this long to hear events; then it is left for a moment.
   * QEMU serves one client at a time, so this is how long an operator's own client waits for an idle guest.
   * Longer with many guests, so that reconnecting costs the agent no more than a few hundred connections a minute.
   */
  listenMs: 1_500,
  listenMsPerGuest: 50,
  /** After a socket did not answer, listening to it is tried again this much later. */
  listenAgainMs: 10_000,
} as const;

export interface DoorOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly answerMsMax: number;
  readonly listenMs: () => number;
  /** Called when the guest did something (reset, stop, device gone), or went away. */
  readonly onEvent: (event: QmpEvent | 'lost') => void;
}

/** One QMP socket: one act at a time, in short connections. */
export class QmpDoor implements Disposable {
  readonly #options: DoorOptions;
  #turn: Promise<void> = Promise.resolve();
  #connection: QmpConnection | null = null;
  #leave: Disposable | null = null;
  #waiting = 0;
  #notBeforeMs = 0;
  /** It was open for long enough: others are let in before the next act. */
  #isDue = false;
  #isClosed = false;

  constructor(options: DoorOptions) {
    this.#options = options;
  }

  /** Runs the act alone on this socket. @throws QmpError, and the signal's reason while waiting for the turn. */
  async use<T>(
    act: (qmp: QmpConnection) => Promise<T>,
    { signal, listen }: { signal: AbortSignal; listen: boolean },
  ): Promise<T> {
    const turn = this.#turn;
    const done = Promise.withResolvers<void>();
    this.#turn = done.promise;
    this.#waiting += 1;
    try {
      await turn;
      signal.throwIfAborted();
      return await act(await this.#open());
    } finally {
      this.#waiting -= 1;
      if (!listen || this.#isDue || this.#connection?.isOpen === false) this.#close();
      done.resolve();
    }
  }

  /** Opens a connection to hear events, unless there is one or the socket was silent a moment ago. */
  async listen(signal: AbortSignal): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#connection !== null || this.#waiting > 0 || nowMs < this.#notBeforeMs) return;
    try {
      await this.use(async () => {}, { signal, listen: true });
    } catch (error) {
      if (error instanceof QmpError) this.#notBeforeMs = nowMs + doorLimits.listenAgainMs;
      else throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#close();
  }

  async #open(): Promise<QmpConnection> {
    if (this.#isClosed) throw new QmpError('silent', 'The hypervisor adapter was closed.');
    if (this.#connection?.isOpen === true) return this.#connection;
    this.#close();
    const connection = await QmpConnection.open(this.#options);
    connection.onEvent((event) => this.#options.onEvent(event));
    connection.onLost(() => this.#options.onEvent('lost'));
    this.#connection = connection;
    this.#leaveAfter(this.#options.listenMs());
    return connection;
  }

  #leaveAfter(ms: number): void {
    this.#isDue = false;
    this.#leave = this.#options.clock.setTimer(ms, () => {
      if (this.#waiting === 0) this.#close();
      else this.#isDue = true;
    });
  }

  #close(): void {
    this.#leave?.[Symbol.dispose]();
    this.#leave = null;
    this.#connection?.[Symbol.dispose]();
    this.#connection = null;
  }
}

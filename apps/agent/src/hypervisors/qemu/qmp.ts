/** A client of QEMU's machine protocol on one unix socket: capabilities, ids, events, deadlines, bounded lines. */
import { createConnection, type Socket } from 'node:net';
import type { Clock } from '@cyborg/service/clock';
import { hasCode, messageOf } from '../node-error.ts';
import { parseLine, type QmpEvent } from './messages.ts';

export const qmpLimits = {
  lineBytesMax: 8 * 1024 * 1024,
  /** A unix socket's address has room for no more. */
  pathBytesMax: 107,
  /** For connecting until the greeting, and for each command. QEMU serves one client at a time: others wait. */
  answerMsMax: 5_000,
} as const;

export type QmpFailure =
  | 'dead' // no process listens on the socket, or there is no socket
  | 'silent' // no answer within the deadline, or the connection ended
  | 'not-qmp' // something else answers there
  | 'denied' // we may not open the socket
  | 'refused'; // QEMU answered with an error

export class QmpError extends Error {
  override readonly name = 'QmpError';
  readonly failure: QmpFailure;
  /** QEMU's error class (`DeviceNotFound`, `GenericError`) when it refused. */
  readonly errorClass: string | null;

  constructor(
    failure: QmpFailure,
    message: string,
    more: { errorClass?: string; cause?: unknown } = {},
  ) {
    super(message, { cause: more.cause });
    this.failure = failure;
    this.errorClass = more.errorClass ?? null;
  }
}

export interface QmpOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly answerMsMax?: number;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: QmpError) => void;
}

export class QmpConnection implements Disposable {
  readonly #socket: Socket;
  readonly #options: QmpOptions;
  readonly #waiting = new Map<string, Waiting>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #closeListeners = new Set<() => void>();
  #chunks: Buffer[] = [];
  #chunkBytes = 0;
  #lastId = 0;
  #ended: QmpError | null = null;

  private constructor(options: QmpOptions) {
    this.#options = options;
    this.#socket = createConnection({ path: options.path });
    this.#socket.on('data', (chunk) => this.#receive(chunk));
    this.#socket.on('error', (error) => this.#end(toQmpError(error, options.path)));
    this.#socket.on('close', () =>
      this.#end(new QmpError('silent', 'QEMU closed the connection.')),
    );
  }

  /** @throws QmpError when nobody listens, nobody greets in time, or the greeting is not QMP's. */
  static async open(options: QmpOptions): Promise<QmpConnection> {
    if (Buffer.byteLength(options.path) > qmpLimits.pathBytesMax) {
      const why = `is longer than ${qmpLimits.pathBytesMax} bytes: use a folder with a shorter name.`;
      throw new QmpError('silent', `${options.path} ${why}`);
    }
    const connection = new QmpConnection(options);
    try {
      await connection.#answer('greeting', 'the greeting');
      await connection.execute('qmp_capabilities');
      return connection;
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  get isOpen(): boolean {
    return this.#ended === null;
  }

  /** @returns what QEMU returned, unparsed. @throws QmpError */
  async execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    this.#lastId += 1;
    const id = `c${this.#lastId}`;
    const answer = this.#answer(id, command);
    if (this.#ended === null) {
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    }
    return await answer;
  }

  onEvent(listener: (event: QmpEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Calls back when QEMU ended the connection, not when we did. */
  onLost(listener: () => void): void {
    if (this.#ended === null) this.#closeListeners.add(listener);
  }

  [Symbol.dispose](): void {
    this.#closeListeners.clear();
    this.#end(new QmpError('silent', 'The connection was closed.'));
  }

  #answer(id: string, what: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== null) return reject(this.#ended);
      const ms = this.#options.answerMsMax ?? qmpLimits.answerMsMax;
      const timer = this.#options.clock.setTimer(ms, () => {
        const text = `${this.#options.path} did not answer ${what} within ${ms} ms`;
        this.#end(new QmpError('silent', `${text} (blocked, or another client is connected).`));
      });
      const settle =
        <T>(act: (value: T) => void) =>
        (value: T): void => {
          timer[Symbol.dispose]();
          this.#waiting.delete(id);
          act(value);
        };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
    });
  }

  #receive(chunk: Buffer): void {
    let rest = chunk;
    for (let at = rest.indexOf(10); at >= 0 && this.#ended === null; at = rest.indexOf(10)) {
      const line = Buffer.concat([...this.#chunks, rest.subarray(0, at)]).toString('utf8');
      this.#chunks = [];
      this.#chunkBytes = 0;
      rest = rest.subarray(at + 1);
      if (line.trim() !== '') this.#handle(line);
    }
    if (rest.length === 0 || this.#ended !== null) return;
    this.#chunks.push(rest);
    this.#chunkBytes += rest.length;
    if (this.#chunkBytes > qmpLimits.lineBytesMax) {
      this.#end(new QmpError('not-qmp', `A line is longer than ${qmpLimits.lineBytesMax} bytes.`));
    }
  }

  #handle(line: string): void {
    const message = parseLine(line);
    if (message === null) {
      this.#end(new QmpError('not-qmp', `${this.#options.path} does not speak QMP.`));
    } else if (message.kind === 'event') {
      for (const listener of this.#listeners) listener(message.event);
    } else if (message.kind === 'greeting') {
      this.#waiting.get('greeting')?.resolve(null);
    } else if (message.kind === 'return') {
      this.#waiting.get(message.id)?.resolve(message.value);
    } else {
      const { description, errorClass } = message;
      this.#waiting.get(message.id)?.reject(new QmpError('refused', description, { errorClass }));
    }
  }

  #end(error: QmpError): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    this.#socket.destroy();
    for (const { reject } of this.#waiting.values()) reject(error);
    for (const listener of this.#closeListeners) listener();
    this.#listeners.clear();
  }
}

function toQmpError(error: Error, path: string): QmpError {
  const message = `${path}: ${messageOf(error)}`;
  if (hasCode(error, 'ECONNREFUSED', 'ENOENT')) {
    return new QmpError('dead', message, { cause: error });
  }
  if (hasCode(error, 'EACCES', 'EPERM')) {
    return new QmpError('denied', `${message} (may this user open the socket?)`, { cause: error });
  }
  if (hasCode(error, 'ENOTSOCK', 'EPROTOTYPE')) {
    return new QmpError('not-qmp', message, { cause: error });
  }
  return new QmpError('silent', message, { cause: error });
}

/**
 * One driver process and the conversation with it. Nothing that a driver does gets past here: every call has a deadline,
 * everything it says is checked, and whatever is pending settles when it dies.
 */
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import {
  CancellationTokenSource,
  ErrorCodes,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
  createMessageConnection,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import { driverErrorName } from '@cyborg/driver-sdk/errors';
import { driverErrorCodes } from '@cyborg/driver-sdk/protocol-constants';
import type {
  AgentMethod,
  DriverMethod,
  DriverNotification,
  DriverParams,
  DriverResult,
} from '@cyborg/driver-sdk/protocol';
import { withDeadline } from '@cyborg/service/deadline';
import type { Clock } from '@cyborg/service/clock';
import { hasCode, messageOf } from '@cyborg/service/node-error';
import { DriverCallError } from './driver-error.ts';
import type { DriverLimits } from './limits.ts';
import { checkAgentParams, checkNotification, checkResult } from './messages.ts';
import { StderrLog } from './stderr-log.ts';
import { StreamGuard } from './stream-guard.ts';

export type DriverChild = ChildProcessByStdio<Writable, Readable, Readable>;

export interface DriverProcessOptions {
  readonly child: DriverChild;
  /** `generic 0.1.0` */
  readonly label: string;
  readonly clock: Clock;
  readonly limits: DriverLimits;
  /** Hears each line of its stderr. */
  readonly onStderr?: (line: string) => void;
  readonly onNotification: (name: DriverNotification, params: NotificationParams) => void;
  /** Does what the driver asks, and answers. @throws DriverCallError with the code that the driver is told. */
  readonly onRequest: (method: AgentMethod, params: Record<string, unknown>) => Promise<object>;
}

export interface NotificationParams {
  readonly backend?: string;
  readonly accelerator?: string;
  readonly percent?: number;
  readonly level?: string;
  readonly message?: string;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs?: number | undefined;
}

const agentMethods: readonly AgentMethod[] = [
  'bind',
  'unbind',
  'restore',
  'reset',
  'listBound',
  'setVfCount',
  'makeMdev',
  'removeMdev',
  'loadModule',
  'openNodes',
  'serialNumbers',
];
/** What only looks, and changes nothing. */
const lookMethods: ReadonlySet<DriverMethod> = new Set(['stats', 'health']);
const notifications: readonly DriverNotification[] = [
  'inventoryChanged',
  'healthChanged',
  'updateProgress',
  'log',
];

export class DriverProcess {
  /** Resolves with the reason, once, when the process has ended. */
  readonly exited: Promise<string>;
  readonly #options: DriverProcessOptions;
  readonly #guard: StreamGuard;
  readonly #stderr: StderrLog;
  readonly #connection: MessageConnection;
  readonly #down = Promise.withResolvers<never>();
  #killReason: string | undefined;
  #hasExited = false;
  #pending = 0;
  /** Looks that were given up and are not answered yet. */
  readonly #late = new Set<string>();

  constructor(options: DriverProcessOptions) {
    const { child, clock, onStderr } = options;
    this.#options = options;
    this.#down.promise.catch(() => undefined); // often nobody waits
    this.#stderr = new StderrLog(child.stderr, clock, onStderr);
    this.#guard = new StreamGuard(clock, (reason) => this.kill(reason));
    child.stdin.on('error', () => undefined); // the exit says what there is to say
    child.stdout.on('error', () => undefined);
    this.#connection = createMessageConnection(
      new StreamMessageReader(child.stdout.pipe(this.#guard)),
      new StreamMessageWriter(child.stdin),
    );
    this.#listen();
    this.exited = this.#watchExit();
  }

  get pid(): number | undefined {
    return this.#options.child.pid;
  }

  /** Calls that are not answered yet. */
  get pending(): number {
    return this.#pending;
  }

  /** @throws DriverCallError */
  async call<M extends DriverMethod>(
    method: M,
    params: DriverParams<M>,
    { signal, deadlineMs }: CallOptions = {},
  ): Promise<DriverResult<M>> {
    if (this.#hasExited || this.#killReason !== undefined) throw this.#downError();
    const late = `${method} ${JSON.stringify(params)}`;
    if (this.#late.has(late)) {
      throw new DriverCallError('deadline', `it has not answered the last ${method} yet`);
    }
    const timeoutMs = deadlineMs ?? this.#options.limits.deadlineMs[method];
    const cancel = new CancellationTokenSource();
    this.#pending += 1;
    this.#guard.expectAnswer();
    const answer = this.#connection.sendRequest(method, params, cancel.token);
    try {
      const result = await withDeadline(async () => Promise.race([answer, this.#down.promise]), {
        clock: this.#options.clock,
        timeoutMs,
        what: `${method} of driver ${this.#options.label}`,
        signal,
      });
      return checkResult(method, result, this.#options.label);
    } catch (error) {
      throw await this.#toCallError(error, { method, answer, cancel, signal, late });
    } finally {
      this.#pending -= 1;
    }
  }

  /** Asks it to end, and ends it when it does not. */
  async stop(): Promise<void> {
    if (!this.#hasExited && this.#killReason === undefined) {
      await this.call('shutdown', {}).catch(() => undefined);
      this.#killReason ??= 'it was asked to shut down';
      const { clock, limits } = this.#options;
      using _timer = clock.setTimer(limits.cancelGraceMs, () => this.#signalKill());
      await this.exited;
      return;
    }
    await this.exited;
  }

  kill(reason: string): void {
    if (this.#hasExited || this.#killReason !== undefined) return;
    this.#killReason = reason;
    this.#down.reject(this.#downError());
    this.#signalKill();
  }

  #signalKill(): void {
    this.#options.child.kill('SIGKILL');
  }

  async #watchExit(): Promise<string> {
    const { child } = this.#options;
    const reason = await new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(`could not be started: ${messageOf(error)}`));
      child.once('exit', (code, signal) =>
        resolve(signal === null ? `ended with status ${code}` : `was ended by ${signal}`),
      );
    });
    this.#hasExited = true;
    this.#stderr.end();
    this.#killReason ??= this.#withStderr(reason);
    this.#down.reject(this.#downError());
    this.#connection.dispose();
    child.stdout.destroy();
    child.stderr.destroy();
    child.stdin.destroy();
    return this.#killReason;
  }

  #withStderr(reason: string): string {
    const { tail } = this.#stderr;
    return tail === '' ? reason : `${reason}; its last words: ${tail}`;
  }

  #downError(): DriverCallError {
    const why = this.#killReason ?? 'it is not running';
    return new DriverCallError('down', `Driver ${this.#options.label} is down: ${why}`);
  }

  async #toCallError(
    error: unknown,
    call: {
      readonly method: DriverMethod;
      readonly answer: Promise<unknown>;
      readonly cancel: CancellationTokenSource;
      readonly signal: AbortSignal | undefined;
      readonly late: string;
    },
  ): Promise<unknown> {
    if (error instanceof DriverCallError) return error;
    if (error instanceof ResponseError) return toDriverError(error);
    if (this.#hasExited || hasCode(error, 'EPIPE', 'ERR_STREAM_DESTROYED'))
      return this.#downError();
    await this.#abandon(call);
    if (call.signal?.aborted === true) return error;
    return new DriverCallError('deadline', messageOf(error), { cause: error });
  }

  /**
   * The call is given up: the driver must at least answer the cancellation, or it hangs and is killed. Only then is it
   * over, so that two calls about one accelerator never overlap.
   */
  async #abandon(call: {
    readonly method: DriverMethod;
    readonly answer: Promise<unknown>;
    readonly cancel: CancellationTokenSource;
    readonly late: string;
  }): Promise<void> {
    call.cancel.cancel();
    if (lookMethods.has(call.method)) return this.#leaveUnanswered(call);
    const { clock, limits } = this.#options;
    using _timer = clock.setTimer(limits.cancelGraceMs, () =>
      this.kill(`it did not answer ${call.method} in time, nor its cancellation`),
    );
    const answered = call.answer.then(
      () => undefined,
      () => undefined,
    );
    await Promise.race([answered, this.exited]);
  }

  /** A sensor that hangs is no reason to end what works: it is not asked again before it has answered. */
  #leaveUnanswered({
    answer,
    late,
  }: {
    readonly answer: Promise<unknown>;
    readonly late: string;
  }): void {
    this.#late.add(late);
    const answered = (): void => void this.#late.delete(late);
    answer.then(answered, answered);
  }

  #listen(): void {
    const connection = this.#connection;
    connection.onError(([error]) => this.kill(`its messages cannot be read: ${error.message}`));
    connection.onUnhandledNotification(() => undefined);
    for (const name of notifications) {
      connection.onNotification(name, (params: unknown) => {
        const problem = checkNotification(name, params);
        if (problem === undefined) this.#options.onNotification(name, toObject(params));
        else this.kill(`its notification ${name} is wrong: ${problem}`);
      });
    }
    for (const method of agentMethods) {
      connection.onRequest(method, (params: unknown) => this.#serve(method, params));
    }
    connection.listen();
  }

  async #serve(method: AgentMethod, params: unknown): Promise<unknown> {
    const problem = checkAgentParams(method, params);
    if (problem !== undefined) return new ResponseError(ErrorCodes.InvalidParams, problem);
    try {
      return await this.#options.onRequest(method, toObject(params));
    } catch (error) {
      return toResponseError(error);
    }
  }
}

function toDriverError(error: ResponseError<unknown>): DriverCallError {
  return new DriverCallError(driverErrorName(error.code) ?? 'internal', error.message, {
    cause: error,
  });
}

function toResponseError(error: unknown): ResponseError<unknown> {
  if (!(error instanceof DriverCallError)) {
    return new ResponseError(ErrorCodes.InternalError, messageOf(error));
  }
  return new ResponseError(codeOf(error.failure), error.message, { code: error.failure });
}

function codeOf(failure: string): number {
  const codes = new Map<string, number>(Object.entries(driverErrorCodes));
  return codes.get(failure) ?? driverErrorCodes.transient;
}

function toObject(params: unknown): Record<string, unknown> {
  return typeof params === 'object' && params !== null ? { ...params } : {};
}

/** One process of the driver and what is said with it, down to the bytes: the kit splits, merges, repeats and breaks off. */
import type { DriverChild } from '@cyborg/driver-host/driver-process';
import { checkResult } from '@cyborg/driver-host/messages';
import { StderrLog } from '@cyborg/driver-host/stderr-log';
import { StreamGuard } from '@cyborg/driver-host/stream-guard';
import { driverErrorCodes, protocolLimits } from '@cyborg/driver-sdk/protocol-constants';
import type { DriverMethod, DriverParams, DriverResult } from '@cyborg/driver-sdk/protocol';
import type { Clock } from '@cyborg/service/clock';
import { messageOf } from '@cyborg/service/node-error';
import { clauseOfResult, type ClauseId } from './clauses.ts';
import { Broken, Ended } from './failures.ts';
import { encodeFrame, FrameReader } from './frames.ts';
import { isRecord, shorten, type Journal, type Places } from './journal.ts';
import { kitLimits } from './limits.ts';
import type { MachineName } from './machine.ts';
import { judge, show, type Answer, type Heard, type Violation, type WireError } from './judge.ts';

/** What the kit's agent says to what the driver asks of it. */
export type AgentAnswers = 'grant' | 'refuse' | 'unknown';

export interface ConversationOptions {
  readonly child: DriverChild;
  readonly number: number;
  readonly clock: Clock;
  readonly journal: Journal;
  readonly callMs: number;
  readonly onViolation: (violation: Violation) => void;
  readonly machine: MachineName;
  readonly places: Places;
  /** Told of everything that the driver asks, before it is answered. */
  readonly onAsked: (method: string) => void;
  /** Called with what the driver asks, instead of answering it. */
  readonly onRequest?: (request: Heard & { kind: 'request' }) => void;
}

export interface Exit {
  readonly status: number | null;
  readonly signal: string | null;
}

export interface Asked {
  readonly id: number;
  readonly answer: Promise<Answer>;
}

const internalError = -32_603;

/** An error that the driver answered with. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly code: number;

  constructor(method: string, { code, message }: WireError) {
    super(`${method} was refused with ${code}: ${message}`);
    this.code = code;
  }
}

export class Conversation {
  readonly exited: Promise<Exit>;
  agentAnswers: AgentAnswers = 'grant';
  /** How often the driver asked something of its agent. */
  asks = 0;
  notifications = 0;
  /** What it said of updates under way. */
  readonly progress: Record<string, unknown>[] = [];
  readonly #options: ConversationOptions;
  readonly #guard: StreamGuard;
  readonly #stderr: StderrLog;
  readonly #reader = new FrameReader();
  readonly #pending = new Map<number, PromiseWithResolvers<Answer>>();
  readonly #backends = new Set<string>();
  #lastId = 0;
  #ended: Ended | undefined;
  #blamed: ClauseId | undefined;
  #stderrSecondEndsMs = 0;
  #stderrBytes = 0;

  constructor(options: ConversationOptions) {
    const { child, clock, journal, number, machine, places } = options;
    this.#options = options;
    journal.note(number, { what: 'start', machine, places });
    this.#guard = new StreamGuard(clock, (reason) =>
      this.#offended(clauseOfOffence(reason), reason),
    );
    child.stdin.on('error', () => undefined); // the exit says what there is to say
    child.stdout.on('error', () => undefined);
    this.#stderr = new StderrLog(child.stderr, clock);
    child.stderr.on('data', (chunk: Buffer) => this.#heardStderr(chunk));
    child.stdout.pipe(this.#guard).on('data', (chunk: Buffer) => this.#heard(chunk));
    this.exited = this.#watchExit();
  }

  get isOver(): boolean {
    return this.#ended !== undefined;
  }

  /** The last lines that it wrote to stderr. */
  get lastWords(): string {
    return this.#stderr.tail;
  }

  nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  /** Expects an answer to the request `id`, which the caller sends. */
  expect(id: number): Asked {
    this.#lastId = Math.max(this.#lastId, id);
    const waiter = Promise.withResolvers<Answer>();
    waiter.promise.catch(() => undefined); // some are not waited for
    if (this.#ended === undefined) this.#pending.set(id, waiter);
    else waiter.reject(this.#ended);
    this.#guard.expectAnswer();
    return { id, answer: waiter.promise };
  }

  /** Sends any request, right or wrong, and does not wait. */
  ask(method: string, params: unknown): Asked {
    const asked = this.expect(this.nextId());
    this.send({ jsonrpc: '2.0', id: asked.id, method, params });
    return asked;
  }

  /** What the driver answers, refusals included. @throws Ended when it does not answer in time, or ends. */
  async attempt(method: string, params: unknown, limitMs?: number): Promise<Answer> {
    return await this.answerOf(this.ask(method, params), method, limitMs);
  }

  async answerOf(asked: Asked, what: string, limitMs?: number): Promise<Answer> {
    const waitMs = limitMs ?? this.#options.callMs;
    const late = Promise.withResolvers<never>();
    late.promise.catch(() => undefined);
    using _timer = this.#options.clock.setTimer(waitMs, () => {
      this.#end(`${what} was not answered in ${waitMs / 1000} s`);
      if (this.#ended !== undefined) late.reject(this.#ended);
    });
    return await Promise.race([asked.answer, late.promise]);
  }

  /** @throws Refused, Broken when the answer is not as specified, Ended. */
  async call<M extends DriverMethod>(
    method: M,
    params: DriverParams<M>,
    limitMs?: number,
  ): Promise<DriverResult<M>> {
    const answer = await this.attempt(method, params, limitMs);
    if ('error' in answer) throw new Refused(method, await this.#withLastWords(answer.error));
    return this.parse(method, answer.result);
  }

  parse<M extends DriverMethod>(method: M, result: unknown): DriverResult<M> {
    try {
      return checkResult(method, result, 'under test');
    } catch (error) {
      const clause = clauseOfResult[method];
      this.#options.onViolation({ clause, detail: messageOf(error) });
      throw new Broken(messageOf(error), clause);
    }
  }

  notify(method: string, params: unknown): void {
    this.send({ jsonrpc: '2.0', method, params });
  }

  send(message: Readonly<Record<string, unknown>>): void {
    this.#nameBackends(message['params']);
    this.#options.journal.note(this.#options.number, { what: 'sent', message });
    this.#write(encodeFrame(message));
  }

  /** Bytes as they are: half a frame, or three. */
  sendBytes(bytes: Buffer): void {
    const happening = { what: 'sent-bytes', base64: bytes.toString('base64') } as const;
    this.#options.journal.note(this.#options.number, happening);
    this.#write(bytes);
  }

  closeInput(): void {
    this.#options.journal.note(this.#options.number, { what: 'input-closed' });
    this.#options.child.stdin.end();
  }

  /** As a host or an out-of-memory killer does it. */
  async kill(why: string): Promise<void> {
    this.#end(why);
    await this.exited;
  }

  /** Says goodbye, as an agent does; whether that is heeded is for other trials. */
  async leave(): Promise<void> {
    if (this.#ended !== undefined) return;
    this.ask('shutdown', {});
    using _timer = this.#options.clock.setTimer(kitLimits.farewellMs, () =>
      this.#end('the kit went on'),
    );
    await this.exited;
  }

  /** Of a driver's own fault stderr says more; it comes by another pipe than the answer. */
  async #withLastWords({ code, message }: WireError): Promise<WireError> {
    if (code !== internalError) return { code, message };
    await this.#options.clock.sleep(kitLimits.lastWordsMs);
    const words = this.lastWords.slice(-kitLimits.lastWordsCharsMax);
    return { code, message: words === '' ? message : `${message}\nits stderr: ${words}` };
  }

  #write(bytes: Buffer): void {
    if (this.#ended === undefined) this.#options.child.stdin.write(bytes);
  }

  #end(why: string): void {
    if (this.#ended !== undefined) return;
    this.#settle(new Ended(why, this.#blamed));
    this.#options.journal.note(this.#options.number, { what: 'killed', why });
    this.#options.child.kill('SIGKILL');
  }

  #settle(ended: Ended): void {
    this.#ended = ended;
    for (const waiter of this.#pending.values()) waiter.reject(ended);
    this.#pending.clear();
  }

  async #watchExit(): Promise<Exit> {
    const { child, journal, number } = this.#options;
    const exit = await new Promise<Exit>((resolve) => {
      child.once('error', (error) => resolve({ status: null, signal: messageOf(error) }));
      child.once('close', (status, signal) => resolve({ status, signal }));
    });
    journal.note(number, { what: 'ended', ...exit });
    const { tail } = this.#stderr;
    const how = exit.signal === null ? `ended with status ${exit.status}` : `ended: ${exit.signal}`;
    const words = tail === '' ? '' : `; its last words: ${tail}`;
    if (this.#ended === undefined) {
      this.#settle(new Ended(`the process ${how}${words}`, this.#blamed));
    }
    return exit;
  }

  #heard(chunk: Buffer): void {
    const { journal, number } = this.#options;
    let messages: unknown[];
    try {
      messages = this.#reader.push(chunk);
    } catch (error) {
      journal.note(number, { what: 'received-bytes', text: shorten(chunk) });
      this.#offended('D-FRAME-1', messageOf(error));
      return;
    }
    for (const message of messages) {
      journal.note(number, { what: 'received', message });
      if (this.#ended !== undefined) continue; // killed: what was under way is nobody's any more
      this.#take(judge(message, this.#known()));
    }
  }

  #known(): Parameters<typeof judge>[1] {
    return { isPending: (id) => this.#pending.has(id), backends: this.#backends };
  }

  #take(heard: Heard): void {
    switch (heard.kind) {
      case 'answer':
        this.#pending.get(heard.id)?.resolve(heard.answer);
        this.#pending.delete(heard.id);
        return;
      case 'request':
        this.#wasAsked(heard);
        return;
      case 'notification':
        this.notifications += 1;
        if (heard.method === 'updateProgress' && isRecord(heard.params)) {
          this.progress.push(heard.params);
        }
        if (heard.violation !== undefined) this.#options.onViolation(heard.violation);
        return;
      case 'violation':
        this.#offended(heard.violation.clause, heard.violation.detail);
        return;
    }
  }

  #wasAsked(heard: Heard & { kind: 'request' }): void {
    this.asks += 1;
    this.#options.onAsked(heard.method);
    if (heard.violation !== undefined) this.#options.onViolation(heard.violation);
    if (this.#options.onRequest !== undefined) return this.#options.onRequest(heard);
    this.send({ jsonrpc: '2.0', id: heard.id, ...agentAnswer(heard.method, this.agentAnswers) });
  }

  /** A driver that breaks the protocol itself is not spoken to any more, as an agent would not. */
  #offended(clause: ClauseId, detail: string): void {
    this.#blamed ??= clause;
    this.#options.onViolation({ clause, detail });
    this.#end(`${clause}: ${detail}`);
  }

  #heardStderr(chunk: Buffer): void {
    const { clock, journal, number } = this.#options;
    journal.note(number, { what: 'stderr', text: shorten(chunk) });
    const nowMs = clock.monotonicMs();
    if (nowMs >= this.#stderrSecondEndsMs) {
      this.#stderrSecondEndsMs = nowMs + 1000;
      this.#stderrBytes = 0;
    }
    const before = this.#stderrBytes;
    this.#stderrBytes += chunk.length;
    const limit = protocolLimits.stderrBytesPerSecondMax;
    if (before > limit || this.#stderrBytes <= limit) return;
    const detail = `more than ${limit} bytes on stderr in a second; the rest would be dropped`;
    this.#options.onViolation({ clause: 'D-LIM-3', detail });
  }

  #nameBackends(params: unknown): void {
    for (const name of JSON.stringify(params ?? {}).matchAll(/"name":("(?:[^"\\]|\\.)*")/g)) {
      const parsed: unknown = JSON.parse(name[1] ?? '""');
      if (typeof parsed === 'string') this.#backends.add(parsed);
    }
  }
}

/** Nothing is bound or open, and nothing has a number. */
const lookAnswers: ReadonlyMap<string, object> = new Map<string, object>([
  ['listBound', { functions: [] }],
  ['openNodes', { complete: true, open: [] }],
  ['serialNumbers', { functions: [] }],
]);

export function agentAnswer(method: string, answers: AgentAnswers): Record<string, unknown> {
  if (answers === 'unknown') {
    return { error: { code: -32_601, message: `this agent does not know ${method}` } };
  }
  if (answers === 'refuse') {
    const code = driverErrorCodes['host-use'];
    return { error: { code, message: `the kit's agent refuses ${method}: the host uses it` } };
  }
  return { result: lookAnswers.get(method) ?? {} };
}

function clauseOfOffence(reason: string): ClauseId {
  if (reason.startsWith('announced')) return 'D-LIM-1';
  return reason.startsWith('sent more than') ? 'D-LIM-2' : 'D-FRAME-1';
}

/** A refusal that is not one of `codes` is a broken promise, and so is none. @throws Broken */
export function demandRefusal(answer: Answer, codes: readonly number[], what: string): void {
  const wanted = codes.join(' or ');
  if (!('error' in answer)) {
    throw new Broken(`${what} was answered with ${show(answer.result)}; an error ${wanted} is due`);
  }
  if (codes.includes(answer.error.code)) return;
  const { code, message } = answer.error;
  throw new Broken(`${what} was refused with ${code} (${message}); ${wanted} is due`);
}

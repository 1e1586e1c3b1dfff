/** Says a recorded conversation to a driver again and compares its answers with those of then. */
import { isDeepStrictEqual } from 'node:util';
import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import type { Launched } from '@cyborg/driver-host/launch';
import type { Clock } from '@cyborg/service/clock';
import { messageOf } from '@cyborg/service/node-error';
import type { Asked, Conversation } from './conversation.ts';
import { isRecord, noJournal, type JournalLine } from './journal.ts';
import { show, type Violation } from './judge.ts';
import { kitLimits } from './limits.ts';
import { Subject } from './subject.ts';

export interface ReplayOptions {
  readonly pkg: DriverPackage;
  readonly clock: Clock;
  readonly lines: readonly JournalLine[];
  readonly callMs?: number | undefined;
  readonly tree?: string | undefined;
}

export interface ReplayReport {
  readonly answers: number;
  readonly differences: readonly string[];
  readonly violations: readonly Violation[];
}

/** @throws when the driver cannot be started here at all. */
export async function replay(options: ReplayOptions): Promise<ReplayReport> {
  const violations: Violation[] = [];
  const subject = await Subject.open({
    ...options,
    journal: noJournal,
    callMs: options.callMs ?? kitLimits.callMsMax,
    onViolation: (violation) => violations.push(violation),
  });
  try {
    const run = new Replay(subject);
    for (const line of options.lines) await run.say(line);
    return { answers: run.answers, differences: run.differences, violations };
  } finally {
    await subject.close();
  }
}

interface Process {
  readonly conversation: Conversation;
  readonly launched: Launched;
  readonly asked: Map<unknown, { readonly method: string; readonly asked: Asked }>;
  /** What the driver asked of its agent, in order, and not answered yet. */
  readonly questions: { readonly id: string | number; readonly method: string }[];
  readonly recordedQuestions: unknown[];
}

class Replay {
  readonly differences: string[] = [];
  answers = 0;
  readonly #subject: Subject;
  readonly #processes = new Map<number, Process>();

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  async say(line: JournalLine): Promise<void> {
    if (line.what === 'start') {
      await this.#start(line.process);
      return;
    }
    const process = this.#processes.get(line.process);
    if (process === undefined) return;
    switch (line.what) {
      case 'sent':
        await this.#send(process, line.message);
        return;
      case 'sent-bytes':
        this.#sendBytes(process, Buffer.from(line.base64, 'base64'));
        return;
      case 'received':
        await this.#compare(process, line.message);
        return;
      case 'killed':
        await process.conversation.kill(line.why);
        return;
      case 'input-closed':
        process.conversation.closeInput();
        return;
      case 'received-bytes':
      case 'stderr':
      case 'ended':
        return; // for readers
    }
  }

  async #start(number: number): Promise<void> {
    const questions: Process['questions'] = [];
    const started = await this.#subject.start({
      onRequest: ({ id, method }) => void questions.push({ id, method }),
    });
    this.#processes.set(number, {
      ...started,
      asked: new Map(),
      questions,
      recordedQuestions: [],
    });
  }

  async #send(process: Process, message: unknown): Promise<void> {
    if (!isRecord(message)) return;
    const { id, method } = message;
    if (typeof method !== 'string') return this.#answer(process, message);
    if (typeof id === 'number') {
      process.asked.set(id, { method, asked: process.conversation.expect(id) });
    }
    process.conversation.send(method === 'initialize' ? here(message, process.launched) : message);
  }

  /** The kit's answer to a question, which the driver may have numbered in another way. */
  async #answer(process: Process, message: Record<string, unknown>): Promise<void> {
    const index = process.recordedQuestions.indexOf(message['id']);
    const { clock } = this.#subject.options;
    const endMs = clock.monotonicMs() + this.#subject.options.callMs;
    while (process.questions[index] === undefined && clock.monotonicMs() < endMs) {
      if (process.conversation.isOver) return;
      await clock.sleep(5);
    }
    const question = process.questions[index];
    if (question === undefined) this.differences.push(`it did not ask what it asked before`);
    else process.conversation.send({ ...message, id: question.id });
  }

  #sendBytes(process: Process, bytes: Buffer): void {
    for (const [, id] of bytes.toString('latin1').matchAll(/"id":(\d+)/g)) {
      const asked = process.conversation.expect(Number(id));
      process.asked.set(Number(id), { method: `request ${id}`, asked });
    }
    process.conversation.sendBytes(bytes);
  }

  async #compare(process: Process, message: unknown): Promise<void> {
    if (!isRecord(message)) return;
    if (typeof message['method'] === 'string') {
      if (message['id'] !== undefined) process.recordedQuestions.push(message['id']);
      return;
    }
    const waiting = process.asked.get(message['id']);
    if (waiting === undefined) return;
    this.answers += 1;
    const what = `${waiting.method} (id ${show(message['id'])})`;
    try {
      const now = await process.conversation.answerOf(waiting.asked, what);
      const before =
        'error' in message ? { error: codeOf(message['error']) } : { result: message['result'] };
      const after = 'error' in now ? { error: codeOf(now.error) } : now;
      if (isDeepStrictEqual(before, after)) return;
      this.differences.push(`${what}: then ${show(before)}, now ${show(after)}`);
    } catch (error) {
      this.differences.push(`${what}: then ${show(message)}, now ${messageOf(error)}`);
    }
  }
}

/** The words of an error may change; its code may not. */
function codeOf(error: unknown): unknown {
  return isRecord(error) ? error['code'] : error;
}

/** Where the trees and the state folder are now. */
function here(message: Record<string, unknown>, launched: Launched): Record<string, unknown> {
  const { params } = message;
  if (!isRecord(params)) return message;
  const state = params['state_dir'] === null ? null : launched.stateDir;
  return { ...message, params: { ...params, roots: launched.roots, state_dir: state } };
}

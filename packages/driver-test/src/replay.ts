/** Says a recorded conversation to a driver again and compares its answers with those of then. */
import { isDeepStrictEqual } from 'node:util';
import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import type { Launched } from '@cyborg/driver-host/launch';
import type { Clock } from '@cyborg/service/clock';
import { messageOf } from '@cyborg/service/node-error';
import { agentAnswer, type Asked, type Conversation } from './conversation.ts';
import { differenceOf } from './differences.ts';
import { isRecord, noJournal, type JournalLine, type Places, type Setting } from './journal.ts';
import { show, type Violation } from './judge.ts';
import { kitLimits } from './limits.ts';
import { scriptOf, type Question, type Script, type Step } from './script.ts';
import { Subject } from './subject.ts';

export interface ReplayOptions {
  readonly pkg: DriverPackage;
  readonly clock: Clock;
  readonly lines: readonly JournalLine[];
  readonly callMs?: number | undefined;
  readonly tree?: string | undefined;
  readonly image?: string | undefined;
}

export interface ReplayReport {
  /** Compared, those that differ included. */
  readonly answers: number;
  readonly differing: number;
  /** Each with how often it was seen. */
  readonly differences: readonly string[];
  /** What was not compared, and why; a machine that is not that of the recording. */
  readonly notes: readonly string[];
  readonly violations: readonly Violation[];
}

/** @throws when the driver cannot be started here at all, or the recording is of another machine. */
export async function replay(options: ReplayOptions): Promise<ReplayReport> {
  const recorded = options.lines.find((line) => line.what === 'setting');
  checkNamed(recorded, options);
  const violations: Violation[] = [];
  const subject = await Subject.open({
    ...options,
    journal: noJournal,
    callMs: options.callMs ?? kitLimits.callMsMax,
    onViolation: (violation) => violations.push(violation),
  });
  try {
    const script = scriptOf(options.lines);
    const run = new Replay(subject, script);
    for (const step of script.steps) await run.take(step);
    run.endQuestions();
    const notes = [...notesOnSetting(recorded, subject.setting), ...run.notes()];
    const { answers, differing, differences } = run;
    return { answers, differing, differences, notes, violations };
  } finally {
    await subject.close();
  }
}

/** @throws Error with the option that is missing, or too many. */
function checkNamed(recorded: Setting | undefined, options: ReplayOptions): void {
  if (recorded === undefined) return;
  for (const name of ['tree', 'image'] as const) {
    const [then, now] = [recorded[name], options[name]];
    if (then !== null && now === undefined) {
      throw new Error(`It was recorded with --${name} ${then}: give --${name} PATH here, too.`);
    }
    if (then === null && now !== undefined) {
      throw new Error(`It was recorded with the kit's own ${name}: leave --${name} out.`);
    }
  }
}

function notesOnSetting(recorded: Setting | undefined, now: Setting): string[] {
  if (recorded === undefined) {
    return ['the recording does not name its machine: with another --tree all may differ'];
  }
  return (['tree', 'image'] as const).flatMap((name) => {
    if (recorded[`${name}_sha256`] === now[`${name}_sha256`]) return [];
    const then = recorded[name] ?? `the kit's own of then`;
    return [
      `its ${name} is not that of the recording (${then}): answers may differ for that alone`,
    ];
  });
}

interface Process {
  readonly conversation: Conversation;
  readonly launched: Launched;
  readonly asked: Map<number, Asked>;
  readonly renamed: Renaming;
  isKilled: boolean;
}

type Renaming = (value: unknown) => unknown;

class Replay {
  readonly differences: string[] = [];
  answers = 0;
  differing = 0;
  readonly #subject: Subject;
  readonly #script: Script;
  readonly #processes = new Map<number, Process>();
  readonly #seen = new Map<string, number>();
  readonly #left = new Map<string, number>();
  readonly #unasked = new Map<number, Set<Question>>();

  constructor(subject: Subject, script: Script) {
    this.#subject = subject;
    this.#script = script;
    if (script.unanswered > 0) this.#left.set('not answered then', script.unanswered);
  }

  async take(step: Step): Promise<void> {
    if (step.what === 'start') return await this.#start(step);
    const process = this.#processes.get(step.process);
    if (process === undefined) return;
    switch (step.what) {
      case 'sent':
        return this.#send(process, process.renamed(step.message));
      case 'sent-bytes':
        for (const { id } of step.asks) process.asked.set(id, process.conversation.expect(id));
        return process.conversation.sendBytes(step.bytes);
      case 'answered':
        return await this.#compare(process, step);
      case 'killed':
        process.isKilled = true;
        return await process.conversation.kill(step.why);
      case 'input-closed':
        return process.conversation.closeInput();
      case 'ended':
        return await this.#end(process, step);
      case 'setting':
      case 'received-bytes':
      case 'stderr':
        return; // for readers
    }
  }

  async #start({
    process: number,
    machine = 'machine',
    places,
  }: Step & { what: 'start' }): Promise<void> {
    const questions = this.#script.questions.get(number) ?? [];
    const unasked = new Set(questions);
    this.#unasked.set(number, unasked);
    const { conversation, launched } = await this.#subject.start({
      machine,
      onRequest: ({ id, method, params }) => {
        const same = [...unasked].filter((one) => one.method === method);
        const renamed = this.#processes.get(number)?.renamed ?? ((value: unknown) => value);
        const one = same.find((was) => isDeepStrictEqual(renamed(was.params), params)) ?? same[0];
        if (one !== undefined) unasked.delete(one);
        if (one?.answer === undefined && this.#processes.get(number)?.isKilled === true) return;
        const answer = one?.answer ?? agentAnswer(method, 'grant');
        conversation.send({ jsonrpc: '2.0', ...answer, id });
      },
    });
    const { folder, imagesDir } = this.#subject;
    const now = { folder, state_dir: launched.stateDir, images_dir: imagesDir };
    const renamed = renaming(places, now);
    this.#processes.set(number, {
      conversation,
      launched,
      asked: new Map(),
      renamed,
      isKilled: false,
    });
  }

  #send({ conversation, launched, asked }: Process, message: unknown): void {
    if (!isRecord(message)) return;
    const { id, method } = message;
    if (typeof id === 'number') asked.set(id, conversation.expect(id));
    conversation.send(method === 'initialize' ? here(message, launched) : message);
  }

  async #compare(process: Process, { asks, message }: Step & { what: 'answered' }): Promise<void> {
    const waiting = process.asked.get(asks.id);
    if (waiting === undefined) return;
    if (process.conversation.isOver) return this.#leaveOut('its process had ended');
    const what = `${asks.method} (id ${asks.id})`;
    try {
      const answer = await process.conversation.answerOf(waiting, what);
      if (asks.loose !== undefined) return this.#leaveOut(asks.loose);
      this.answers += 1;
      const [then, now] = [process.renamed(message), answer].map(outcomeOf);
      const difference = differenceOf(then, now);
      if (difference !== undefined) this.#differs(asks.method, asks.id, difference);
    } catch (error) {
      this.answers += 1;
      this.#differs(
        asks.method,
        asks.id,
        `then ${show(outcomeOf(message))}, now ${messageOf(error)}`,
      );
    }
  }

  /** What was said before is under way again before the next process is started, as it was then. */
  async #end(process: Process, { status, signal }: Step & { what: 'ended' }): Promise<void> {
    const { conversation, isKilled } = process;
    const { clock, callMs } = this.#subject.options;
    const waiting = new AbortController();
    const late = clock.sleep(callMs, waiting.signal).then(() => undefined);
    late.catch(() => undefined);
    const exit = await Promise.race([conversation.exited, late]);
    waiting.abort();
    if (exit === undefined) await conversation.kill('it ended here when it was recorded');
    if (isKilled) return;
    const difference = differenceOf({ status, signal }, exit ?? 'it goes on');
    if (difference !== undefined) this.#differs('end', 0, difference);
  }

  endQuestions(): void {
    for (const [number, unasked] of this.#unasked) {
      for (const { method } of unasked) {
        if (this.#processes.get(number)?.isKilled === true) this.#leaveOut('cut short by a kill');
        else this.#differs(method, 0, 'it did not ask what it asked before');
      }
    }
  }

  notes(): string[] {
    const reasons = [...this.#left].map(([reason, count]) => `${count} ${reason}`);
    return reasons.length === 0 ? [] : [`not compared: ${reasons.join(', ')}`];
  }

  #leaveOut(reason: string): void {
    this.#left.set(reason, (this.#left.get(reason) ?? 0) + 1);
  }

  /** The same difference is told once. */
  #differs(method: string, id: number, difference: string): void {
    this.differing += 1;
    const index = this.#seen.get(`${method} ${difference}`);
    if (index === undefined) {
      this.#seen.set(`${method} ${difference}`, this.differences.length);
      this.differences.push(`${method}${id === 0 ? '' : ` (id ${id})`}: ${difference}`);
      return;
    }
    const [told = '', count = '0'] = (this.differences[index] ?? '').split(timesMark);
    this.differences[index] = `${told}${timesMark}${Number.parseInt(count, 10) + 1} times more`;
  }
}

const timesMark = ' – and so ';

/** Of an answer: the words of an error may change; its code may not. */
function outcomeOf(message: unknown): unknown {
  if (!isRecord(message)) return message;
  const { result, error } = message;
  if (error === undefined) return { result };
  return { error: isRecord(error) ? error['code'] : error };
}

/** Where the trees and the state folder are now. */
function here(message: Record<string, unknown>, launched: Launched): Record<string, unknown> {
  const { params } = message;
  if (!isRecord(params)) return message;
  const state = params['state_dir'] === null ? null : launched.stateDir;
  return { ...message, params: { ...params, roots: launched.roots, state_dir: state } };
}

/** Paths of then to paths of now, wherever they are. */
function renaming(then: Places | undefined, now: Places): Renaming {
  if (then === undefined) return (value) => value;
  const pairs = (['images_dir', 'state_dir', 'folder'] as const).flatMap((name) => {
    const [was, is] = [then[name], now[name]];
    return was === null || is === null || was === is ? [] : [[was, is] as const];
  });
  const rename = (value: unknown): unknown => {
    if (typeof value === 'string') {
      return pairs.reduce((text, [was, is]) => text.replaceAll(was, is), value);
    }
    if (Array.isArray(value)) return value.map(rename);
    if (!isRecord(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, rename(one)]));
  };
  return pairs.length === 0 ? (value) => value : rename;
}

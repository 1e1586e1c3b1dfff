/** What of a recording is said again, and which of its answers can be expected to come again. */
import { FrameReader } from './frames.ts';
import { isRecord, type JournalLine } from './journal.ts';

/** Why an answer is not compared. */
export type Loose = 'cancelled' | 'at once with another act' | 'cut short by a kill' | 'measured';

export type Step =
  | Exclude<JournalLine, { what: 'received' | 'sent-bytes' }>
  | {
      readonly what: 'sent-bytes';
      readonly process: number;
      readonly bytes: Buffer;
      readonly asks: readonly Asks[];
    }
  | {
      readonly what: 'answered';
      readonly process: number;
      readonly asks: Asks;
      readonly message: Message;
    };

type Message = Readonly<Record<string, unknown>>;

/** A request of the kit's. */
export interface Asks {
  readonly id: number;
  readonly method: string;
  readonly isAct: boolean;
  loose: Loose | undefined;
}

/** A request of the driver's, and what it was answered with, if it was. */
export interface Question {
  readonly method: string;
  readonly params: unknown;
  answer: Message | undefined;
}

export interface Script {
  readonly steps: readonly Step[];
  readonly questions: ReadonlyMap<number, readonly Question[]>;
  /** How many requests were never answered. */
  readonly unanswered: number;
}

const acts = new Set(['install', 'uninstall', 'prepare', 'release', 'clean', 'update']);

/** One process, as far as its lines have been read. */
class Reading {
  readonly open = new Map<unknown, Asks>();
  readonly questions: (Question & { readonly id: unknown })[] = [];
  readonly #frames = new FrameReader();
  isKilled = false;

  /** Messages that are whole with these bytes; what is no frame asks for nothing. */
  wholeIn(bytes: Buffer): unknown[] {
    try {
      return this.#frames.push(bytes);
    } catch {
      return [];
    }
  }

  /** The request that a message is, if it is one. */
  asks(message: unknown): Asks | undefined {
    if (!isRecord(message)) return undefined;
    const { id, method, params } = message;
    if (method === '$/cancelRequest' && isRecord(params)) this.#cancel(params['id']);
    if (typeof id !== 'number' || typeof method !== 'string') return undefined;
    const isAct = acts.has(method) && !(isRecord(params) && params['dry_run'] === true);
    const one: Asks = { id, method, isAct, loose: method === 'stats' ? 'measured' : undefined };
    for (const other of this.open.values()) {
      if (!isAct && !other.isAct) continue;
      one.loose ??= 'at once with another act';
      other.loose ??= 'at once with another act';
    }
    this.open.set(id, one);
    return one;
  }

  #cancel(id: unknown): void {
    const one = this.open.get(id);
    if (one !== undefined) one.loose = 'cancelled';
  }

  /** The kit's answer to what the driver asked. */
  answers(message: Message): void {
    const question = this.questions.find(({ id, answer }) => !answer && id === message['id']);
    if (question !== undefined) question.answer = message;
  }
}

export function scriptOf(lines: readonly JournalLine[]): Script {
  const readings = new Map<number, Reading>();
  const steps = lines.flatMap((line): Step[] => {
    const reading = readings.get(line.process) ?? new Reading();
    readings.set(line.process, reading);
    return stepsOf(line, reading);
  });
  const questions = new Map([...readings].map(([number, one]) => [number, one.questions]));
  const unanswered = [...readings.values()].reduce((sum, { open }) => sum + open.size, 0);
  return { steps, questions, unanswered };
}

function stepsOf(line: JournalLine, reading: Reading): Step[] {
  const { process } = line;
  switch (line.what) {
    case 'sent': {
      const isAnswer = isRecord(line.message) && line.message['method'] === undefined;
      reading.asks(line.message);
      if (!isAnswer) return [line];
      if (isRecord(line.message)) reading.answers(line.message);
      return []; // said as soon as it is asked
    }
    case 'sent-bytes': {
      const bytes = Buffer.from(line.base64, 'base64');
      const asks = reading.wholeIn(bytes).flatMap((message) => reading.asks(message) ?? []);
      return [{ what: 'sent-bytes', process, bytes, asks }];
    }
    case 'received':
      return reading.isKilled || !isRecord(line.message)
        ? []
        : heard(line.message, reading, process);
    case 'killed':
      reading.isKilled = true;
      return [line];
    case 'setting':
    case 'start':
    case 'received-bytes':
    case 'stderr':
    case 'input-closed':
    case 'ended':
      return [line];
  }
}

function heard(message: Message, reading: Reading, process: number): Step[] {
  const { method, id, params } = message;
  if (typeof method === 'string') {
    if (id !== undefined) reading.questions.push({ id, method, params, answer: undefined });
    return [];
  }
  const asks = reading.open.get(id);
  if (asks === undefined) return [];
  reading.open.delete(id);
  return [{ what: 'answered', process, asks, message }];
}

/** A conversation on file: JSON lines, each one thing that happened, so that it can be read, sent and said again. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { Clock } from '@cyborg/service/clock';
import { kitLimits } from './limits.ts';
import type { MachineName } from './machine.ts';

export type Happening =
  | ({ readonly what: 'setting' } & Setting)
  | { readonly what: 'start'; readonly machine?: MachineName; readonly places?: Places }
  | { readonly what: 'sent'; readonly message: unknown }
  | { readonly what: 'sent-bytes'; readonly base64: string }
  | { readonly what: 'received'; readonly message: unknown }
  | { readonly what: 'received-bytes'; readonly text: string }
  | { readonly what: 'stderr'; readonly text: string }
  | { readonly what: 'input-closed' }
  | { readonly what: 'killed'; readonly why: string }
  | { readonly what: 'ended'; readonly status: number | null; readonly signal: string | null };

/** Which machine and program image the kit took, for who says it again. */
export interface Setting {
  /** As it was named; null = the kit's own. */
  readonly tree: string | null;
  readonly tree_sha256: string;
  readonly image: string | null;
  readonly image_sha256: string;
}

/** What is elsewhere in every run. */
export interface Places {
  readonly folder: string;
  readonly state_dir: string | null;
  readonly images_dir: string;
}

export type JournalLine = Happening & {
  /** Which process of the driver, from 1; 0 = the kit itself. */
  readonly process: number;
  readonly at_ms: number;
};

export interface JournalHead {
  readonly cyborg_driver_conversation: 1;
  readonly driver: { readonly id: string; readonly version: string };
}

export interface Journal {
  note(process: number, happening: Happening): void;
  close(): void;
}

export const noJournal: Journal = { note: () => undefined, close: () => undefined };

/** @throws when the file cannot be written. */
export function openJournal(file: string, head: JournalHead, clock: Clock): Journal {
  const fd = openSync(file, 'w', 0o600);
  const startMs = clock.monotonicMs();
  writeSync(fd, `${JSON.stringify(head)}\n`);
  return {
    note: (process, happening) => {
      const at = Math.round((clock.monotonicMs() - startMs) * 10) / 10;
      writeSync(fd, `${JSON.stringify({ process, at_ms: at, ...happening })}\n`);
    },
    close: () => closeSync(fd),
  };
}

/** @throws Error naming the line, when the file is no conversation. */
export function readJournal(file: string): { head: JournalHead; lines: JournalLine[] } {
  const [first = '', ...rest] = readFileSync(file, 'utf8').split('\n');
  const head = parseLine(first, file, 1);
  if (!isHead(head)) {
    throw new Error(`${file} is no conversation: its first line lacks cyborg_driver_conversation`);
  }
  const lines = rest.flatMap((text, index) => {
    if (text === '') return [];
    const line = parseLine(text, file, index + 2);
    if (!isLine(line)) throw new Error(`${file}, line ${index + 2} is not of a conversation`);
    return [line];
  });
  return { head, lines };
}

function parseLine(text: string, file: string, number: number): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    throw new Error(`${file}, line ${number} is not JSON`);
  }
}

function isHead(value: unknown): value is JournalHead {
  return isRecord(value) && value['cyborg_driver_conversation'] === 1 && isRecord(value['driver']);
}

const kinds = new Set([
  'setting',
  'start',
  'sent',
  'sent-bytes',
  'received',
  'received-bytes',
  'stderr',
  'input-closed',
  'killed',
  'ended',
]);

function isLine(value: unknown): value is JournalLine {
  return (
    isRecord(value) &&
    typeof value['process'] === 'number' &&
    typeof value['what'] === 'string' &&
    kinds.has(value['what'])
  );
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What is kept of bytes that somebody has to look at. */
export function shorten(bytes: Buffer): string {
  return bytes.subarray(0, kitLimits.pieceBytesMax).toString('utf8');
}

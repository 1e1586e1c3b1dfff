import { pino } from 'pino';
import type { DestinationStream } from 'pino';

import type { Clock } from './clock.ts';
import { toLogFields } from './log-fields.ts';

export type Logger = pino.Logger;

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LoggerOptions {
  /** The program, such as `cyborg-server`. */
  readonly name: string;
  readonly level: LogLevel;
  readonly clock: Clock;
  /** `lines` are for a person at a terminal; `json` (default) is one object per line. */
  readonly format?: 'json' | 'lines';
  /** Default: stderr, written at once, so that a crash loses nothing. */
  readonly destination?: DestinationStream;
}

export function makeLogger({ name, level, clock, format, destination }: LoggerOptions): Logger {
  const stderr = destination ?? pino.destination({ dest: 2, sync: true });
  return pino(
    {
      name,
      level,
      base: { pid: process.pid },
      timestamp: () => `,"time":"${clock.now().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }), log: toLogFields },
    },
    format === 'lines' ? { write: (json) => stderr.write(toLine(json)) } : stderr,
  );
}

const hiddenFields = new Set(['level', 'time', 'pid', 'name', 'msg', 'err']);

/** `12:00:00 WARN  lost a database connection (host=node-1): reason` */
function toLine(json: string): string {
  const entry: unknown = JSON.parse(json);
  if (typeof entry !== 'object' || entry === null) return json;
  const fields = new Map<string, unknown>(Object.entries(entry));
  const time = toText(fields.get('time')).slice(11, 19);
  const level = toText(fields.get('level')).toUpperCase().padEnd(5);
  const shown = [...fields].filter(([key]) => !hiddenFields.has(key));
  const details = shown.map(([key, value]) => `${key}=${toText(value)}`).join(' ');
  const message = toText(fields.get('msg') ?? '');
  return `${time} ${level} ${message}${details ? ` (${details})` : ''}${toReason(fields.get('err'))}\n`;
}

function toReason(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('message' in error)) return '';
  return `: ${toText(error.message)}`;
}

function toText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined');
}

import { resolve } from 'node:path';

import { unreachable } from '@cyborg/model/unreachable';

import type { OptionSpec } from './option-schema.ts';

export type OptionValue = string | number | boolean | readonly string[];

/** A value, or what would have been allowed: `an integer from 1 to 10`. */
export type Parsed = { readonly value: OptionValue } | { readonly allowed: string };

/** Reads the text of a flag or variable, or what YAML made of a key's value. */
export function parseValue(spec: OptionSpec, raw: unknown, baseFolder: string): Parsed {
  const parsed = parseType(spec, raw, baseFolder);
  if (!('value' in parsed) || spec.refuse === undefined) return parsed;
  for (const value of [parsed.value].flat()) {
    const allowed = spec.refuse(String(value));
    if (allowed !== undefined) return { allowed };
  }
  return parsed;
}

function parseType(spec: OptionSpec, raw: unknown, baseFolder: string): Parsed {
  switch (spec.type) {
    case 'string':
      return nonEmptyText(raw) ?? { allowed: 'text that is not empty' };
    case 'path': {
      const text = nonEmptyText(raw);
      return text === undefined
        ? { allowed: 'a path' }
        : { value: resolve(baseFolder, text.value) };
    }
    case 'integer':
      return parseInteger(spec, raw);
    case 'boolean':
      return parseBoolean(raw);
    case 'enum':
      return typeof raw === 'string' && spec.values.includes(raw)
        ? { value: raw }
        : { allowed: `one of ${spec.values.join(', ')}` };
    case 'duration':
      return parseDuration(spec, raw);
    case 'list':
      return parseList(raw);
    default:
      return unreachable(spec);
  }
}

function nonEmptyText(raw: unknown): { value: string } | undefined {
  if (typeof raw === 'number') return { value: String(raw) };
  return typeof raw === 'string' && raw !== '' ? { value: raw } : undefined;
}

interface Range {
  readonly min: number;
  readonly max: number;
}

function parseInteger({ min, max }: Range, raw: unknown): Parsed {
  const value = typeof raw === 'string' && /^[+-]?\d+$/.test(raw) ? Number(raw) : raw;
  const isAllowed =
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max;
  return isAllowed ? { value } : { allowed: `an integer from ${min} to ${max}` };
}

const booleans = new Map<unknown, boolean>([
  [true, true],
  [false, false],
  ...['true', 'yes', 'on', '1'].map((word) => [word, true] as const),
  ...['false', 'no', 'off', '0'].map((word) => [word, false] as const),
]);

function parseBoolean(raw: unknown): Parsed {
  const value = booleans.get(typeof raw === 'string' ? raw.toLowerCase() : raw);
  return value === undefined ? { allowed: 'true or false' } : { value };
}

const secondsOf = new Map([
  ['ms', 0.001],
  ['s', 1],
  ['m', 60],
  ['h', 3600],
  ['d', 86_400],
]);

function parseDuration({ min, max }: Range, raw: unknown): Parsed {
  const [, digits, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(String(raw)) ?? [];
  const value = Number(digits) * (secondsOf.get(unit) ?? Number.NaN);
  const isAllowed = value >= min && value <= max;
  return isAllowed
    ? { value }
    : { allowed: `a time from ${min} to ${max} seconds, such as 30, 30s, 5m, 2h, 1d or 250ms` };
}

function parseList(raw: unknown): Parsed {
  const items: unknown[] = typeof raw === 'string' ? raw.split(',') : Array.isArray(raw) ? raw : [];
  const texts = items.map((item) => nonEmptyText(typeof item === 'string' ? item.trim() : item));
  const values = texts.flatMap((text) => (text === undefined ? [] : [text.value]));
  return values.length === items.length && values.length > 0
    ? { value: values }
    : { allowed: 'a list of one or more values, none of them empty' };
}

/** A small strict reader of untrusted values: every refusal names the field, the value and what was expected. */
import { ServiceError } from '@cyborg/model/errors';

export type Fields = Readonly<Record<string, unknown>>;

export interface Reader {
  readonly path: string;
  readonly value: unknown;
}

const shownMax = 60;
const textMax = 1024;
const keyMax = 255;

export function refuse({ path, value }: Reader, expected: string): ServiceError {
  const shown = (JSON.stringify(value) ?? 'nothing').slice(0, shownMax);
  return new ServiceError('invalid-input', `${path}: expected ${expected}, got ${shown}.`);
}

/** @throws ServiceError `invalid-input` for anything but an object with exactly these keys. */
export function readObject(from: Reader, keys: readonly string[]): Fields {
  if (!isFields(from.value)) throw refuse(from, 'an object');
  for (const key of Object.keys(from.value)) {
    if (!keys.includes(key)) {
      throw refuse({ path: `${from.path}.${key}`, value: from.value[key] }, 'no such field');
    }
  }
  return from.value;
}

export function field(from: Reader, fields: Fields, key: string): Reader {
  return { path: `${from.path}.${key}`, value: fields[key] };
}

export function readList<T>(from: Reader, max: number, read: (item: Reader) => T): T[] {
  if (!Array.isArray(from.value)) throw refuse(from, 'a list');
  if (from.value.length > max) throw refuse(from, `at most ${max} items`);
  return from.value.map((value: unknown, index) => read({ path: `${from.path}[${index}]`, value }));
}

export function readKey(from: Reader): string {
  const text = readTextOf(from, keyMax);
  if (text === '') throw refuse(from, 'a text of 1 to 255 characters');
  return text;
}

export function readText(from: Reader): string {
  return readTextOf(from, textMax);
}

function readTextOf(from: Reader, max: number): string {
  const { value } = from;
  if (typeof value !== 'string' || value.length > max || value.includes('\u0000')) {
    throw refuse(from, `a text of at most ${max} characters, without NUL`);
  }
  return value;
}

export function readNullable<T>(from: Reader, read: (from: Reader) => T): T | null {
  return from.value === null ? null : read(from);
}

export function readBoolean(from: Reader): boolean {
  if (typeof from.value !== 'boolean') throw refuse(from, 'true or false');
  return from.value;
}

/** 32 bits, as the column. */
export function readInteger(from: Reader): number {
  const { value } = from;
  if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) > 2 ** 31 - 1) {
    throw refuse(from, 'an integer of 32 bits');
  }
  return value;
}

export function readOneOf<T extends string>(from: Reader, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === from.value);
  if (found === undefined) throw refuse(from, `one of ${allowed.join(', ')}`);
  return found;
}

export function readStrings(from: Reader): Readonly<Record<string, string>> {
  if (!isFields(from.value)) throw refuse(from, 'an object of texts');
  return Object.fromEntries(
    Object.entries(from.value).map(([key, value]) => [
      readKey({ path: `${from.path}{key}`, value: key }),
      readText({ path: `${from.path}.${key}`, value }),
    ]),
  );
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads members of JSON that another service sent. A wrong type is an error that names the place. */
export class ShapeError extends Error {
  override readonly name = 'ShapeError';
}

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @throws {ShapeError} */
export function asObject(value: unknown, place: string): JsonObject {
  if (isObject(value)) return value;
  throw new ShapeError(`${place} is ${kindOf(value)} instead of an object`);
}

/** @throws {ShapeError} */
export function asList(value: unknown, place: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new ShapeError(`${place} is ${kindOf(value)} instead of a list`);
}

/** @throws {ShapeError} */
export function asText(value: unknown, place: string): string {
  if (typeof value === 'string') return value;
  throw new ShapeError(`${place} is ${kindOf(value)} instead of a text`);
}

/** @throws {ShapeError} */
export function asNumber(value: unknown, place: string): number {
  if (typeof value === 'number') return value;
  throw new ShapeError(`${place} is ${kindOf(value)} instead of a number`);
}

export function textOrNull(value: unknown, place: string): string | null {
  return value === null || value === undefined ? null : asText(value, place);
}

export function numberOrNull(value: unknown, place: string): number | null {
  return value === null || value === undefined ? null : asNumber(value, place);
}

/** @throws {ShapeError} */
export function asTexts(value: unknown, place: string): readonly string[] {
  return asList(value, place).map((item, at) => asText(item, `${place}[${at}]`));
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}

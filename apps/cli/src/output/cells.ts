/** One value as text. */

/** What a value looks like in one cell; `none` stands for null and what is missing. */
export function cellText(value: unknown, none: string): string {
  if (value === null || value === undefined) return none;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value) && value.every(isScalar)) return value.map(String).join(', ');
  return JSON.stringify(value);
}

/** For people: an object as `key=value` pairs, a list of objects one per line. */
export function readableText(value: unknown): string {
  if (Array.isArray(value) && value.length === 0) return '-';
  if (Array.isArray(value) && value.length > 0 && !value.every(isScalar)) {
    return value.map(readableText).join('\n');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return cellText(value, '-');
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return '-';
  return entries.map(([key, each]) => `${key}=${cellText(each, '-')}`).join(', ');
}

function isScalar(value: unknown): boolean {
  return ['string', 'number', 'boolean'].includes(typeof value);
}

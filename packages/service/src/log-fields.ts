/** What a log entry may hold: no secret however deep, nothing endless, no key twice. */
import { stdSerializers } from 'pino';

const hidden = '(hidden)';
const secretKey =
  /pass(?:word|wd|phrase)|secret|token|credential|authorization|cookie|api_?key|private_?key/i;
/** `postgresql://user:password@host`. */
const passwordInUrl = /([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*:)[^\s/@]+@/gi;
/** The logger writes these itself; JSON with a key twice is read differently by each reader. */
const ownKeys = new Set(['level', 'time', 'pid', 'name', 'msg']);

export const logFieldLimits = { depthMax: 8, itemsMax: 200 } as const;

export function toLogFields(fields: object): Record<string, unknown> {
  const cleaned = clean(fields, { depth: 0, above: [] });
  if (typeof cleaned !== 'object' || cleaned === null) return {};
  return Object.fromEntries(
    Object.entries(cleaned).map(([key, value]) => [ownKeys.has(key) ? `${key}_` : key, value]),
  );
}

interface Place {
  readonly depth: number;
  readonly above: readonly object[];
}

function clean(value: unknown, place: Place): unknown {
  if (typeof value === 'string') return value.replaceAll(passwordInUrl, `$1${hidden}@`);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (place.above.includes(value)) return '(circular)';
  if (place.depth > logFieldLimits.depthMax) return '(deeper)';
  const below = { depth: place.depth + 1, above: [...place.above, value] };
  if (value instanceof Error) return cleanMembers(stdSerializers.err(value), below);
  if (ArrayBuffer.isView(value)) return `(${value.byteLength} bytes)`;
  if ('toJSON' in value && typeof value.toJSON === 'function') return clean(value.toJSON(), below);
  const items = value instanceof Map || value instanceof Set ? [...value] : value;
  return Array.isArray(items) ? cleanItems(items, below) : cleanMembers(items, below);
}

function cleanItems(items: readonly unknown[], place: Place): unknown[] {
  const { itemsMax } = logFieldLimits;
  const shown = items.slice(0, itemsMax).map((item) => clean(item, place));
  return items.length > itemsMax ? [...shown, `(${items.length - itemsMax} more)`] : shown;
}

function cleanMembers(value: object, place: Place): Record<string, unknown> {
  const cleaned: [string, unknown][] = [];
  for (const [key, member] of Object.entries(value).slice(0, logFieldLimits.itemsMax)) {
    if (typeof member === 'function') continue;
    const isSecret = secretKey.test(key) && member !== null && member !== undefined;
    cleaned.push([key, isSecret ? hidden : clean(member, place)]);
  }
  return Object.fromEntries(cleaned);
}

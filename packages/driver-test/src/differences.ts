/** Where two answers differ, field by field. */
import { isDeepStrictEqual } from 'node:util';
import { isRecord } from './journal.ts';
import { show } from './judge.ts';

const shownMax = 5;

/** `result.devices[gpu-0].numa_node: then 0, now 1; …`; undefined when they say the same. */
export function differenceOf(then: unknown, now: unknown): string | undefined {
  const found: string[] = [];
  compare({ before: then, after: now, path: '' }, found);
  if (found.length === 0) return undefined;
  const more = found.length > shownMax ? `; and ${found.length - shownMax} fields more` : '';
  return `${found.slice(0, shownMax).join('; ')}${more}`;
}

interface Pair {
  readonly before: unknown;
  readonly after: unknown;
  readonly path: string;
}

function compare({ before, after, path }: Pair, found: string[]): void {
  if (isDeepStrictEqual(before, after)) return;
  const [was, is] = [membersOf(before), membersOf(after)];
  if (was === undefined || is === undefined || Array.isArray(before) !== Array.isArray(after)) {
    found.push(`${path || 'it'}: then ${tell(before)}, now ${tell(after)}`);
    return;
  }
  for (const name of new Set([...was.keys(), ...is.keys()])) {
    const part = Array.isArray(before) ? `[${name}]` : `${path === '' ? '' : '.'}${name}`;
    compare({ before: was.get(name), after: is.get(name), path: `${path}${part}` }, found);
  }
}

function tell(value: unknown): string {
  return value === undefined ? 'nothing' : show(value);
}

/** The parts of an object, or of a list: by their keys where each has one, as the order of such a list says nothing. */
function membersOf(value: unknown): Map<string, unknown> | undefined {
  if (isRecord(value)) return new Map(Object.entries(value));
  if (!Array.isArray(value)) return undefined;
  const items: readonly unknown[] = value;
  const keys = items.map((item) => (isRecord(item) ? (item['key'] ?? item['name']) : undefined));
  const areKeys = keys.every((key) => typeof key === 'string');
  const isKeyed = areKeys && new Set(keys).size === keys.length;
  return new Map(items.map((item, index) => [String(isKeyed ? keys[index] : index), item]));
}

/**
 * Takes secrets out of what a driver writes, before it is kept or sent anywhere: what stands after a telling name, what
 * has the form of a credential, and the values that the driver was given under such a name.
 */
import { stripVTControlCharacters } from 'node:util';

export type Redact = (text: string) => string;

const hidden = '***';
const tellingName =
  '[\\w-]{0,64}(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|authorization)s?';
/** `password=x`, `"token": "x y"`, `--secret x`, `Authorization: Bearer x`. */
const named = new RegExp(
  `(\\b${tellingName}["']?(?:\\s{0,8}[=:]\\s{0,8}|\\s{1,8}(?=["']))|--${tellingName}\\s{1,8})((?:bearer|basic)\\s+)?("(?:[^"\\\\]|\\\\.)*"|'[^']*'|[^\\s,;&"']+)`,
  'giu',
);
const forms: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/gsu, hidden],
  // Lines of such a key come one by one.
  [/^[\w+/=]{40,}$/gmu, hidden],
  [/\b(bearer|basic)\s+[\w.~+/=-]{8,}/giu, `$1 ${hidden}`],
  [/\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?/gu, hidden],
  [/\b([a-z][a-z\d+.-]{0,31}:\/\/[^\s/:@]*):[^\s/@]+@/giu, `$1:${hidden}@`],
];
const tellingKey = new RegExp(`^${tellingName}$`, 'iu');
/** A shorter one would hide half of every line, and is no secret. */
const valueLengthMin = 4;
const depthMax = 8;

/** `known` are values to hide wherever they stand. */
export function redact(text: string, known: readonly string[] = []): string {
  let shown = text;
  for (const value of known) shown = shown.replaceAll(value, hidden);
  for (const [form, instead] of forms) shown = shown.replace(form, instead);
  return shown.replace(named, (_all, name: string, scheme: string = '') => name + scheme + hidden);
}

/** Text values of a configuration under names such as `password` or `api_key`, the longest first. */
export function secretsIn(config: unknown): string[] {
  return [...new Set(collect(config, false, 0))].toSorted((a, b) => b.length - a.length);
}

function* collect(value: unknown, isSecret: boolean, depth: number): Generator<string> {
  if (typeof value === 'string') {
    if (isSecret && value.length >= valueLengthMin) yield value;
    return;
  }
  if (typeof value !== 'object' || value === null || depth >= depthMax) return;
  for (const [key, part] of Object.entries(value)) {
    yield* collect(part, isSecret || tellingKey.test(key), depth + 1);
  }
}

/** One line that is safe to store and to show: no escapes, no control characters, no half of a character. */
export function plainLine(text: string, charactersMax: number): string {
  const plain = stripVTControlCharacters(text)
    .replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trimEnd();
  const cut = plain.length > charactersMax ? `${plain.slice(0, charactersMax - 1)}…` : plain;
  return cut.toWellFormed();
}

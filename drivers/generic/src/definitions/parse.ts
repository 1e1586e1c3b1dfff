/** Reads one definition of a YAML text. What is wrong is named with file, line and the rule that it breaks. */
import { DriverError } from '@cyborg/driver-sdk/errors';
import { findProblem, type JsonSchema } from '@cyborg/driver-sdk/json-schema';
import { isMap, isPair, isSeq, LineCounter, parseDocument, visit, type Document } from 'yaml';
import { findBrokenRule } from './rules.ts';
import { definitionLimits, definitionSchema, type Definition } from './schema.ts';

type Path = readonly (string | number)[];

/** @throws DriverError `invalid`: `acme.yaml:4:13: match[0].vendor is "10dx"; it must match …`. */
export function parseDefinition(file: string, text: string): Definition {
  const lines = new LineCounter();
  const fail = (offset: number, message: string): never => {
    const { line, col } = lines.linePos(offset);
    throw new DriverError(
      'invalid',
      `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}: ${message}`,
    );
  };
  if (text.length > definitionLimits.textCharactersMax) {
    fail(0, `the definition is longer than ${definitionLimits.textCharactersMax} characters`);
  }
  // Failsafe: every scalar is a text. YAML's core schema would make the vendor 8086, or 1e36, a number.
  const document = parseDocument(text, {
    lineCounter: lines,
    schema: 'failsafe',
    prettyErrors: false,
  });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) fail(problem.pos[0], problem.message);
  visit(document, {
    Alias: (_key, { range }) => fail(range?.[0] ?? 0, 'a definition has no aliases: write it out'),
  });
  const value = withNumbers(definitionSchema, document.toJS());
  const broken = findProblem(definitionSchema, value, root);
  if (broken !== undefined) fail(offsetOf(document, pathOf(broken)), sayWithoutRoot(broken));
  const definition = value as Definition; // the schema was just checked: this is the parser
  const rule = findBrokenRule(definition);
  if (rule !== undefined) fail(offsetOf(document, rule.path), rule.text);
  return definition;
}

const root = 'definition';

/** The texts that the schema wants to be whole numbers, as numbers. */
function withNumbers(schema: JsonSchema, value: unknown): unknown {
  if (typeof value === 'string') {
    return schema.type === 'integer' && /^\d{1,9}$/u.test(value) ? Number(value) : value;
  }
  if (Array.isArray(value)) {
    const { items } = schema;
    return items === undefined ? value : value.map((item) => withNumbers(items, item));
  }
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => {
    const own = Object.hasOwn(schema.properties ?? {}, key) ? schema.properties?.[key] : undefined;
    return [key, own === undefined ? item : withNumbers(own, item)];
  });
  return Object.fromEntries(entries);
}

/** findProblem begins with the place: `definition.match[0].vendor is …`. */
function pathOf(problem: string): Path {
  const place = /^definition((?:\.[^\s.[\]]+|\[\d+\])*)/u.exec(problem)?.[1] ?? '';
  const parts = place.matchAll(/\.([^\s.[\]]+)|\[(\d+)\]/gu);
  return [...parts].map(([, key, index]) => key ?? Number(index));
}

function sayWithoutRoot(problem: string): string {
  return problem.startsWith(`${root}.`)
    ? problem.slice(root.length + 1)
    : problem.replace(root, 'the definition');
}

/** Where the value at the path begins, or what there is of the way to it; for a key that is not known, the key. */
function offsetOf(document: Document, path: Path): number {
  let node: unknown = document.contents;
  let offset = rangeStart(node) ?? 0;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && String(item.key) === part);
      if (pair === undefined) return offset;
      offset = rangeStart(pair.value) ?? rangeStart(pair.key) ?? offset;
      node = pair.value;
      if (path.at(-1) === part && !isKnownKey(path)) return rangeStart(pair.key) ?? offset;
    } else if (isSeq(node) && typeof part === 'number') {
      node = node.items[part];
      offset = rangeStart(node) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

function isKnownKey(path: Path): boolean {
  let schema: JsonSchema | undefined = definitionSchema;
  for (const part of path) {
    if (typeof part === 'number') schema = schema?.items;
    else if (Object.hasOwn(schema?.properties ?? {}, part)) schema = schema?.properties?.[part];
    else return typeof schema?.additionalProperties === 'object';
  }
  return true;
}

function rangeStart(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node)) return undefined;
  return Array.isArray(node.range) && typeof node.range[0] === 'number' ? node.range[0] : undefined;
}

/** What a schema cannot say of a manifest: that its parts fit each other. */
import { findProblem } from '@cyborg/driver-sdk/json-schema';

import { PackageError } from './package-error.ts';
import { protocolOfAgents } from './protocol.ts';

interface Kind {
  readonly kind: string;
  readonly config_schema: Readonly<Record<string, unknown>>;
  readonly delegable: readonly string[];
}

interface Preset {
  readonly name: string;
  readonly kind: string;
  readonly config: Readonly<Record<string, unknown>>;
}

const types = ['object', 'array', 'string', 'integer', 'number', 'boolean', 'null'];
/** Deeper, nobody can fill in a configuration. */
const depthMax = 16;

/** @throws PackageError for two kinds of one name, a schema that no configuration fits, a key that it does not have. */
export function checkKinds(kinds: readonly Kind[]): void {
  for (const [index, { kind, config_schema: schema, delegable }] of kinds.entries()) {
    const field = `kinds.${index}`;
    if (kinds.findIndex((one) => one.kind === kind) < index) {
      refuse(`${field}.kind`, `there are two kinds ${kind}; each has a name of its own`);
    }
    const { type = 'object' } = schema;
    if (type !== 'object') {
      const is = JSON.stringify(type);
      refuse(`${field}.config_schema.type`, `it is ${is}; a configuration is an "object"`);
    }
    checkSchema(schema, `${field}.config_schema`, 0);
    const keys = propertiesOf(schema);
    const strange = delegable.find((key) => !keys.includes(key));
    if (strange !== undefined) {
      const known = keys.join(', ') || 'none';
      refuse(`${field}.delegable`, `config_schema has no property ${strange}; it has ${known}`);
    }
  }
}

/** @throws PackageError for two of one name, a kind that is not there, a configuration that its schema refuses. */
export function checkPresets(presets: readonly Preset[], kinds: readonly Kind[]): void {
  for (const [index, { name, kind, config }] of presets.entries()) {
    if (presets.findIndex((one) => one.name === name) < index) {
      refuse(`default_backends.${index}.name`, `there are two backends ${name}`);
    }
    const own = kinds.find((one) => one.kind === kind);
    if (own === undefined) {
      const known = kinds.map((one) => one.kind).join(', ');
      refuse(
        'default_backends',
        `${name} is of kind ${kind}, which is not among the kinds (${known})`,
      );
    }
    const problem = findProblem(own.config_schema, config, `default_backends.${index}.config`);
    if (problem !== undefined) {
      throw new PackageError(`manifest.json: ${problem}; so says the config_schema of ${kind}.`);
    }
  }
}

/** @throws PackageError when no agent of this release can speak with it. */
export function checkProtocol({
  protocol: { min, max },
}: {
  readonly protocol: { readonly min: number; readonly max: number };
}): void {
  if (min <= protocolOfAgents && protocolOfAgents <= max) return;
  refuse('protocol', `it is ${min} to ${max}; agents of this release speak ${protocolOfAgents}`);
}

/** @throws PackageError naming the key that an object has twice: JSON.parse takes the last one without a word. */
export function checkKeys(text: string): void {
  const open: Set<string>[] = [];
  for (const [token, key] of text.matchAll(
    /("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/gsu,
  )) {
    if (token === '{' || token === '[') open.push(new Set());
    else if (token === '}' || token === ']') open.pop();
    else if (key !== undefined) {
      const seen = open.at(-1);
      if (seen?.has(key) === true) refuse(key, 'it is given twice in one object');
      seen?.add(key);
    }
  }
}

function checkSchema(schema: unknown, field: string, depth: number): void {
  if (depth > depthMax) refuse(field, `it is more than ${depthMax} levels deep`);
  if (typeof schema === 'boolean') return;
  if (!isRecord(schema)) refuse(field, 'it is no JSON Schema: not an object');
  const { type, pattern } = schema;
  const strange = [type ?? []].flat().find((one) => !types.some((known) => known === one));
  if (strange !== undefined) {
    refuse(`${field}.type`, `it is ${JSON.stringify(strange)}; the types are ${types.join(', ')}`);
  }
  if (typeof pattern === 'string' && !isPattern(pattern)) {
    refuse(`${field}.pattern`, `${JSON.stringify(pattern)} is no regular expression`);
  }
  for (const name of ['enum', 'required', 'anyOf', 'oneOf', 'allOf']) {
    if (schema[name] !== undefined && !Array.isArray(schema[name])) {
      refuse(`${field}.${name}`, 'it is no list');
    }
  }
  const { properties = {}, patternProperties = {} } = schema;
  if (!isRecord(properties)) refuse(`${field}.properties`, 'it is no object');
  if (!isRecord(patternProperties)) refuse(`${field}.patternProperties`, 'it is no object');
  const bad = Object.keys(patternProperties).find((key) => !isPattern(key));
  if (bad !== undefined) {
    refuse(`${field}.patternProperties`, `${JSON.stringify(bad)} is no regular expression`);
  }
  for (const [name, part] of partsOf(schema)) checkSchema(part, `${field}.${name}`, depth + 1);
}

function partsOf(schema: Readonly<Record<string, unknown>>): [name: string, part: unknown][] {
  const within = ['properties', 'patternProperties', 'anyOf', 'oneOf', 'allOf'].flatMap((name) => {
    const value = schema[name];
    if (typeof value !== 'object' || value === null) return [];
    return Object.entries(value).map(([key, part]): [string, unknown] => [`${name}.${key}`, part]);
  });
  const single = ['items', 'additionalProperties'].filter((name) => isRecord(schema[name]));
  return [...within, ...single.map((name): [string, unknown] => [name, schema[name]])];
}

/** Of the schema itself and of what it combines. */
function propertiesOf(schema: Readonly<Record<string, unknown>>): string[] {
  const own = isRecord(schema['properties']) ? Object.keys(schema['properties']) : [];
  const others = ['anyOf', 'oneOf', 'allOf'].flatMap((name) => [schema[name] ?? []].flat());
  return [...own, ...others.flatMap((one) => (isRecord(one) ? propertiesOf(one) : []))];
}

function isPattern(text: string): boolean {
  try {
    return new RegExp(text, 'u') instanceof RegExp;
  } catch {
    return false;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refuse(field: string, problem: string): never {
  throw new PackageError(`manifest.json: ${field}: ${problem}.`);
}

/**
 * Checks values against the part of JSON Schema that this protocol and driver configurations use. A driver process
 * does without TypeBox or Ajv (20 MB and more each); TypeBox's own checker is the oracle in this file's tests.
 */

/** A JSON Schema of the supported part. Other keywords (title, format, …) are for readers and are not checked. */
export interface JsonSchema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean' | 'null';
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly patternProperties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

type JsonObject = Record<string, unknown>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const typeChecks = {
  object: isObject,
  array: (value: unknown) => Array.isArray(value),
  string: (value: unknown) => typeof value === 'string',
  integer: (value: unknown) => Number.isInteger(value),
  number: (value: unknown) => typeof value === 'number' && Number.isFinite(value),
  boolean: (value: unknown) => typeof value === 'boolean',
  null: (value: unknown) => value === null,
} as const;

/** The value as a reader sees it in an error, at most 80 characters. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/**
 * The first thing wrong with the value, as a sentence that names the place, the value and what is allowed;
 * undefined when all is well. `where` is how the value is called, e.g. `config`.
 */
export function findProblem(schema: JsonSchema, value: unknown, where: string): string | undefined {
  if (schema.const !== undefined && value !== schema.const) {
    return `${where} is ${show(value)}; it must be ${show(schema.const)}`;
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    return `${where} is ${show(value)}; it must be one of ${schema.enum.map(show).join(', ')}`;
  }
  if (schema.anyOf !== undefined) return problemOfAnyOf(schema.anyOf, value, where);
  if (schema.type !== undefined && !typeChecks[schema.type](value)) {
    return `${where} is ${show(value)}; it must be of type ${schema.type}`;
  }
  if (typeof value === 'string') return problemOfString(schema, value, where);
  if (typeof value === 'number') return problemOfNumber(schema, value, where);
  if (Array.isArray(value)) return problemOfArray(schema, value, where);
  if (isObject(value)) return problemOfObject(schema, value, where);
  return undefined;
}

function problemOfAnyOf(
  options: readonly JsonSchema[],
  value: unknown,
  where: string,
): string | undefined {
  if (options.some((option) => findProblem(option, value, where) === undefined)) return undefined;
  const constants = options.map((option) => option.const).filter((item) => item !== undefined);
  if (constants.length === options.length) {
    return `${where} is ${show(value)}; it must be one of ${constants.map(show).join(', ')}`;
  }
  const tagged = options.find((option) => hasSameTag(option, value));
  if (tagged !== undefined) return findProblem(tagged, value, where);
  return `${where} is ${show(value)}, which is none of the allowed forms`;
}

/** A member of a tagged union: a constant property (such as `kind`) that the value has too. */
function hasSameTag(option: JsonSchema, value: unknown): boolean {
  if (!isObject(value)) return false;
  return Object.entries(option.properties ?? {}).some(
    ([key, property]) => property.const !== undefined && value[key] === property.const,
  );
}

function problemOfString(schema: JsonSchema, value: string, where: string): string | undefined {
  const { minLength = 0, maxLength = Infinity, pattern } = schema;
  if (value.length < minLength) return `${where} is shorter than ${minLength} characters`;
  if (value.length > maxLength) return `${where} is longer than ${maxLength} characters`;
  if (pattern !== undefined && !new RegExp(pattern, 'u').test(value)) {
    const inWords = schema.description === undefined ? '' : `: ${trimmed(schema.description)}`;
    return `${where} is ${show(value)}; it must match ${pattern}${inWords}`;
  }
  return undefined;
}

const trimmed = (sentence: string): string => sentence.replace(/\.$/u, '');

function problemOfNumber(schema: JsonSchema, value: number, where: string): string | undefined {
  const { minimum = -Infinity, maximum = Infinity } = schema;
  if (value >= minimum && value <= maximum) return undefined;
  return `${where} is ${value}; it must be between ${minimum} and ${maximum}`;
}

function problemOfArray(
  schema: JsonSchema,
  value: readonly unknown[],
  where: string,
): string | undefined {
  const { minItems = 0, maxItems = Infinity, items } = schema;
  if (value.length < minItems) return `${where} has fewer than ${minItems} items`;
  if (value.length > maxItems) return `${where} has more than ${maxItems} items`;
  if (schema.uniqueItems === true && new Set(value.map(show)).size < value.length) {
    return `${where} names an item twice`;
  }
  if (items === undefined) return undefined;
  for (const [index, item] of value.entries()) {
    const problem = findProblem(items, item, `${where}[${index}]`);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function problemOfObject(schema: JsonSchema, value: JsonObject, where: string): string | undefined {
  for (const key of schema.required ?? []) {
    if (!Object.hasOwn(value, key)) return `${where}.${key} is missing`;
  }
  for (const [key, item] of Object.entries(value)) {
    if (item === undefined) continue;
    const problem = problemOfProperty(schema, { key, item, where });
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function problemOfProperty(
  schema: JsonSchema,
  { key, item, where }: { key: string; item: unknown; where: string },
): string | undefined {
  const own = Object.hasOwn(schema.properties ?? {}, key) ? schema.properties?.[key] : undefined;
  if (own !== undefined) return findProblem(own, item, `${where}.${key}`);
  for (const [pattern, property] of Object.entries(schema.patternProperties ?? {})) {
    if (new RegExp(pattern, 'u').test(key)) return findProblem(property, item, `${where}.${key}`);
  }
  if (schema.additionalProperties === false) {
    const known = Object.keys(schema.properties ?? {});
    const list = known.length > 0 ? `the keys are ${known.join(', ')}` : 'no key is allowed';
    return `${where}.${key} is not known; ${list}`;
  }
  if (typeof schema.additionalProperties === 'object') {
    return findProblem(schema.additionalProperties, item, `${where}.${key}`);
  }
  return undefined;
}

/** A copy of the value in which every key that is missing and has a default has it, at every depth. */
export function withDefaults(schema: JsonSchema, value: unknown): unknown {
  if (Array.isArray(value)) {
    const { items } = schema;
    return items === undefined ? value : value.map((item) => withDefaults(items, item));
  }
  if (!isObject(value) || schema.properties === undefined) return value;
  const filled: JsonObject = { ...value };
  for (const [key, property] of Object.entries(schema.properties)) {
    const own = filled[key] ?? structuredClone(property.default);
    if (own !== undefined) filled[key] = withDefaults(property, own);
  }
  return filled;
}

/**
 * Reads one `KEY=VALUE` of a command line by the schema of that key: numbers, booleans and JSON where the schema wants
 * them, a list also as `a,b,c`, everything else as the text itself. What does not fit stays text, for findProblem to name.
 */
export function parseSetting(schema: JsonSchema | undefined, text: string): unknown {
  if (schema?.type === 'string' || schema?.enum?.every((item) => typeof item === 'string')) {
    return text;
  }
  const isBracketed = /^\s*[[{"]/u.test(text);
  if (schema?.type === 'array' && !isBracketed) {
    const parts = text.split(',').filter((part) => part !== '');
    return parts.map((part) => parseSetting(schema.items, part));
  }
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return text;
  }
}

/** Parsing at the door: strict bodies, queries whose text is turned into what the schema says. */
import { nearestHint } from '@cyborg/model/nearest';
import { ServiceError } from '@cyborg/model/errors';
import { Ajv } from 'ajv';
import type { ErrorObject, ValidateFunction } from 'ajv';
import addFormatsModule from 'ajv-formats';

// ajv-formats is CommonJS: its function is the default export's default to TypeScript.
const addFormats = addFormatsModule.default;

const common = {
  removeAdditional: false,
  useDefaults: true,
  verbose: true,
  strict: false,
} as const;

export interface Validators {
  compile(schema: object, part: string | undefined): ValidateFunction;
}

/** Bodies are taken as they are; a query's or path's text becomes a number, boolean or list where the schema wants one. */
export function makeValidators(): Validators {
  const strict = new Ajv({ ...common, coerceTypes: false });
  const coercing = new Ajv({ ...common, coerceTypes: 'array' });
  addFormats(strict);
  addFormats(coercing);
  return { compile: (schema, part) => (part === 'body' ? strict : coercing).compile(schema) };
}

const shownCharsMax = 80;

/** One sentence: the field, its value, what is allowed. */
export function toInvalidInput(errors: readonly ErrorObject[], part: string): ServiceError {
  const error = mostTelling(errors);
  const field = fieldOf(error, part);
  return new ServiceError('invalid-input', `${field}: ${complaint(error, errors)}`, {
    extra: { field },
  });
}

/** The members of a union complain one by one before the union does: the union's own complaint covers them. */
function mostTelling(errors: readonly ErrorObject[]): ErrorObject {
  const union = errors.find(({ keyword }) => keyword === 'anyOf');
  const first = union ?? errors[0];
  if (first === undefined) throw new TypeError('A failed validation has an error.');
  return first;
}

function fieldOf({ instancePath, keyword, params }: ErrorObject, part: string): string {
  const steps = instancePath.split('/').filter((step) => step !== '');
  if (keyword === 'required') steps.push(String(params['missingProperty']));
  if (keyword === 'additionalProperties') steps.push(String(params['additionalProperty']));
  const place = part === 'querystring' ? 'query' : part === 'headers' ? 'header' : part;
  return [place, ...steps.map(unescapePointer)].join('.').slice(0, 300);
}

function unescapePointer(step: string): string {
  return step.replaceAll('~1', '/').replaceAll('~0', '~');
}

function complaint(error: ErrorObject, all: readonly ErrorObject[]): string {
  switch (error.keyword) {
    case 'required':
      return 'is missing.';
    case 'additionalProperties':
      return unknownKey(error);
    case 'minProperties':
      return 'has too few keys; give at least one.';
    default:
      return `${show(error.data)} is not allowed; it ${allowed(error, all)}.`;
  }
}

function unknownKey({ params, parentSchema }: ErrorObject): string {
  const keys: unknown = parentSchema?.['x-keys'];
  if (typeof keys === 'string') return `is no key; it must be ${keys}.`;
  const properties: unknown = parentSchema?.['properties'];
  const known =
    typeof properties === 'object' && properties !== null ? Object.keys(properties) : [];
  if (known.length === 0) return 'is not known here; nothing is allowed there.';
  const hint = nearestHint(String(params['additionalProperty']), known, '');
  return `is not known; ${hint}.`;
}

function allowed(error: ErrorObject, all: readonly ErrorObject[]): string {
  switch (error.keyword) {
    case 'anyOf':
      return allowedByUnion(error, all);
    case 'const':
      return `must be ${show(error.params['allowedValue'])}`;
    case 'pattern':
      return patternText(error);
    default:
      return plainWords(error.message ?? 'must be something else');
  }
}

/** Of ajv's own sentences. */
function plainWords(message: string): string {
  return message
    .replace('must NOT have fewer than', 'must have at least')
    .replace('must NOT have more than', 'must have at most');
}

function allowedByUnion(union: ErrorObject, all: readonly ErrorObject[]): string {
  const parts = all.filter((error) => error !== union && error.instancePath === union.instancePath);
  const constants = parts.filter(({ keyword }) => keyword === 'const');
  const others = parts.filter(({ keyword }) => keyword !== 'const').map((e) => allowed(e, []));
  const values = constants.map(({ params }) => show(params['allowedValue']));
  const oneOf = values.length > 0 ? [`must be one of ${values.join(', ')}`] : [];
  return [...new Set([...oneOf, ...others])].join(', or ') || 'must be something else';
}

function patternText({ parentSchema, params }: ErrorObject): string {
  const description: unknown = parentSchema?.['description'];
  return typeof description === 'string'
    ? `must be ${description.replace(/\.$/, '')}`
    : `must match ${String(params['pattern'])}`;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length <= shownCharsMax ? text : `${text.slice(0, shownCharsMax)}…`;
}

export const textLimits = { depthMax: 32 } as const;

/**
 * Refuses text that PostgreSQL cannot hold (NUL, half of a surrogate pair) and nesting that would exhaust a stack,
 * wherever it is in the value.
 *
 * @throws ServiceError `invalid-input` naming the place.
 */
export function checkText(value: unknown, place: string, depth = 0): void {
  if (typeof value === 'string') return checkString(value, place);
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth >= textLimits.depthMax) {
    throw new ServiceError(
      'invalid-input',
      `${place.slice(0, 100)}: is nested more than ${textLimits.depthMax} levels deep.`,
    );
  }
  for (const [key, part] of Object.entries(value)) {
    checkString(key, `${place}: a key`);
    checkText(part, `${place}.${key}`, depth + 1);
  }
  return undefined;
}

function checkString(text: string, place: string): void {
  if (!text.includes('\0') && text.isWellFormed()) return;
  throw new ServiceError(
    'invalid-input',
    `${place.slice(0, 300)}: has a NUL character or half of a surrogate pair; send plain Unicode text.`,
  );
}

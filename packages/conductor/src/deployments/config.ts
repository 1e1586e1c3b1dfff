/** A backend's configuration against its kind's JSON Schema: every refusal names backend, key, value and what is allowed. */
import { isDeepStrictEqual } from 'node:util';

import { ServiceError } from '@cyborg/model/errors';
import type { BackendConfig } from '@cyborg/store/schema-deployments';
import type { DriverManifest, DriverManifestKind } from '@cyborg/store/schema-drivers';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';

import type { BackendAddition } from '@cyborg/store/schema-deployments';
import { withAdditions } from './additions.ts';

const ajv = new Ajv({ strict: false, allErrors: false, useDefaults: true, verbose: true });
/** By the schema's text: manifests of the same version are read anew from the database each time. */
const compiled = new Map<string, ValidateFunction>();
const compiledMax = 256;
const shownMax = 120;

/** @throws ServiceError `invalid-input` naming the kinds that the driver has. */
export function kindOf(
  manifest: DriverManifest,
  given: { readonly backend: string; readonly kind: string },
): DriverManifestKind {
  const found = manifest.kinds.find(({ kind }) => kind === given.kind);
  if (found !== undefined) return found;
  const known = manifest.kinds.map(({ kind }) => kind).join(', ');
  throw new ServiceError(
    'invalid-input',
    `backend ${given.backend}: kind is "${given.kind}"; this driver has ${known || 'none'}.`,
  );
}

/**
 * Answers the configuration with defaults filled in (the one to compare with others; what was written is what is kept).
 *
 * @throws ServiceError `invalid-input`
 */
export function checkConfig(
  kind: DriverManifestKind,
  given: {
    readonly backend: string;
    readonly config: BackendConfig;
    readonly additions?: readonly BackendAddition[];
  },
): BackendConfig {
  const filled = structuredClone(withAdditions(kind.kind, given.config, given.additions ?? []));
  const validate = compile(kind);
  if (validate(filled)) return filled;
  const error = mostTelling(validate.errors ?? []);
  throw new ServiceError('invalid-input', `backend ${given.backend}: ${sentenceOf(error, kind)}`);
}

/** Every member of a tagged union complains: what the member of the value's own `kind` says is what is wrong. */
function mostTelling(errors: readonly ErrorObject[]): ErrorObject | undefined {
  const [first] = errors;
  const union = errors.find(({ keyword }) => keyword === 'anyOf');
  if (union === undefined) return first;
  const options: unknown = union.schema;
  const own = (Array.isArray(options) ? options : []).find((option: unknown) =>
    hasKindOf(option, union.data),
  );
  if (own === undefined) return union;
  const validate = ajv.compile(own);
  validate(structuredClone(union.data));
  const [error] = validate.errors ?? [];
  if (error === undefined) return union;
  return { ...error, instancePath: `${union.instancePath}${error.instancePath}` };
}

function hasKindOf(option: unknown, value: unknown): boolean {
  const properties = memberOf(option, 'properties');
  const kind: unknown = memberOf(memberOf(properties, 'kind'), 'const');
  return kind !== undefined && kind === memberOf(value, 'kind');
}

function memberOf(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return new Map<string, unknown>(Object.entries(value)).get(key);
}

function compile({ config_schema }: DriverManifestKind): ValidateFunction {
  const text = JSON.stringify(config_schema);
  const known = compiled.get(text);
  if (known !== undefined) return known;
  if (compiled.size >= compiledMax) compiled.clear();
  const validate = ajv.compile(JSON.parse(text));
  compiled.set(text, validate);
  return validate;
}

function sentenceOf(error: ErrorObject | undefined, kind: DriverManifestKind): string {
  if (error === undefined) return 'config is not as the driver wants it.';
  const where = `config${error.instancePath.replaceAll('/', '.')}`;
  const params: Readonly<Record<string, unknown>> = error.params;
  if (error.keyword === 'additionalProperties') {
    const key = String(params['additionalProperty']);
    return `${where}.${key}: there is no such key; allowed: ${knownKeys(error, kind)}.`;
  }
  if (error.keyword === 'required')
    return `${where}.${String(params['missingProperty'])}: is missing.`;
  const value = (JSON.stringify(error.data) ?? 'nothing').slice(0, shownMax);
  return `${where} is ${value}: it ${allowedBy(error)}.`;
}

function knownKeys(error: ErrorObject, kind: DriverManifestKind): string {
  const parent: unknown = error.parentSchema;
  const properties =
    typeof parent === 'object' && parent !== null && 'properties' in parent
      ? parent.properties
      : kind.config_schema['properties'];
  return typeof properties === 'object' && properties !== null
    ? Object.keys(properties).join(', ')
    : 'none';
}

function allowedBy(error: ErrorObject): string {
  const { keyword, params, parentSchema, message = 'is not allowed' } = error;
  const description = memberOf(parentSchema, 'description');
  if (keyword === 'pattern' && typeof description === 'string') {
    return `must match ${String(params['pattern'])}: ${description.replace(/\.$/, '')}`;
  }
  if (keyword === 'anyOf') return `must be of one of the kinds ${kindsOf(error).join(', ')}`;
  const values: unknown = params['allowedValues'];
  if (keyword === 'enum' && Array.isArray(values)) return `must be one of ${values.join(', ')}`;
  return message;
}

function kindsOf({ schema }: ErrorObject): string[] {
  const options: unknown[] = Array.isArray(schema) ? schema : [];
  return options.flatMap((option) => {
    const kind = memberOf(memberOf(memberOf(option, 'properties'), 'kind'), 'const');
    return typeof kind === 'string' ? [kind] : [];
  });
}

/**
 * The configuration after a change: keys of the change replace, null returns a key to its default.
 */
export function mergeConfig(kept: BackendConfig, change: BackendConfig): BackendConfig {
  const merged = { ...kept, ...change };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null));
}

/** @throws ServiceError `key-not-delegable` when a key that only an admin may set would change. */
export function checkDelegable(
  kind: DriverManifestKind,
  given: {
    readonly backend: string;
    readonly before: BackendConfig;
    readonly after: BackendConfig;
  },
): void {
  const keys = new Set([...Object.keys(given.before), ...Object.keys(given.after)]);
  const changed = [...keys].filter(
    (key) => !isDeepStrictEqual(given.before[key], given.after[key]),
  );
  const refused = changed.filter((key) => !kind.delegable.includes(key));
  if (refused.length === 0) return;
  throw new ServiceError(
    'key-not-delegable',
    `backend ${given.backend}: only an admin may set ${refused.join(', ')}; a manager may set ${
      kind.delegable.join(', ') || 'nothing'
    } of kind ${kind.kind}.`,
    { extra: { keys: refused, delegable: kind.delegable } },
  );
}

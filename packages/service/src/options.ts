import { nearest } from '@cyborg/model/nearest';

import { OptionError } from './option-error.ts';
import { readArguments } from './option-arguments.ts';
import { readConfigFile } from './option-file.ts';
import type { ReadFile } from './option-file.ts';
import { toFileKey, toFlag, toVariable } from './option-schema.ts';
import type { OptionSchema, OptionSpec, OptionsOf, Program } from './option-schema.ts';
import { parseValue } from './option-values.ts';
import type { OptionValue } from './option-values.ts';

export interface OptionSources {
  /** Without the interpreter, the program and its command. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute; relative paths start here. */
  readonly cwd: string;
  /** Default: node:fs. */
  readonly readFile?: ReadFile;
}

export type ParsedOptions<Schema extends OptionSchema> =
  | { readonly kind: 'run'; readonly options: OptionsOf<Schema> }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' };

/** Where a value came from, most important first. */
interface Found {
  /** For the error: `--listen`, `CYBORG_SERVER_LISTEN`, `listen in /etc/cyborg.yaml`. */
  readonly source: string;
  readonly raw: unknown;
  readonly baseFolder: string;
}

/**
 * Reads the options of a program: flag before environment variable before configuration file
 * (`--config FILE`) before default.
 *
 * @throws {OptionError} naming the option, where the value came from, the value and what is allowed.
 */
export function parseOptions<Schema extends OptionSchema>(
  program: Program<Schema>,
  sources: OptionSources,
): ParsedOptions<Schema> {
  const { options: schema, environmentPrefix: prefix } = program;
  const given = readArguments(schema, sources.argv);
  if (given.kind !== 'run') return given;
  const configFile = given.configFile ?? nonEmpty(sources.env[`${prefix}CONFIG`]);
  const file = readConfigFile(configFile, sources);
  refuseUnknownKeys(schema, file);
  const values = Object.entries(schema).map(([key, spec]) => {
    const found = [
      ...inFlags(key, given.flags, sources.cwd),
      ...inEnvironment(`${prefix}${toVariable(key)}`, sources),
      ...inFile(toFileKey(key), file),
    ];
    return [key, valueOf(spec, { key, prefix, found: found[0] }, sources.cwd)];
  });
  // The schema's types say what each parser returned; this is the one place that joins the two.
  return { kind: 'run', options: Object.fromEntries(values) as OptionsOf<Schema> };
}

function inFlags(key: string, flags: ReadonlyMap<string, unknown>, cwd: string): Found[] {
  return flags.has(key) ? [{ source: toFlag(key), raw: flags.get(key), baseFolder: cwd }] : [];
}

/**
 * Only names of the schema are read: Kubernetes and Docker set variables of their own for a service
 * called `cyborg-server`, so that an unknown one is no mistake.
 */
function inEnvironment(name: string, { env, cwd }: OptionSources): Found[] {
  const raw = nonEmpty(env[name]);
  return raw === undefined
    ? []
    : [{ source: `environment variable ${name}`, raw, baseFolder: cwd }];
}

function inFile(key: string, file: ReturnType<typeof readConfigFile>): Found[] {
  const raw = file?.values.get(key) ?? undefined;
  if (file === undefined || raw === undefined) return [];
  return [{ source: `${key} in ${file.path}`, raw, baseFolder: file.folder }];
}

function valueOf(
  spec: OptionSpec,
  { key, prefix, found }: { key: string; prefix: string; found: Found | undefined },
  cwd: string,
): OptionValue | undefined {
  if (found === undefined) {
    if (spec.required === true) {
      throw new OptionError(
        `The option ${toFlag(key)} is missing: give it, or ${prefix}${toVariable(key)} in the environment, ` +
          `or ${toFileKey(key)} in the configuration file (${spec.help}).`,
      );
    }
    if (spec.default === undefined) return undefined;
    return spec.type === 'path' ? defaultPath(spec.default, cwd) : spec.default;
  }
  const parsed = parseValue(spec, found.raw, found.baseFolder);
  if ('value' in parsed) return parsed.value;
  const shown = spec.secret === true ? 'the given value (hidden)' : show(found.raw);
  const option = found.source === toFlag(key) ? '' : ` (option ${toFlag(key)})`;
  throw new OptionError(
    `${found.source}${option}: ${shown} is not allowed; it must be ${parsed.allowed}.`,
  );
}

function defaultPath(path: string, cwd: string): OptionValue {
  const parsed = parseValue({ type: 'path', help: '' }, path, cwd);
  return 'value' in parsed ? parsed.value : path;
}

function refuseUnknownKeys(schema: OptionSchema, file: ReturnType<typeof readConfigFile>): void {
  if (file === undefined) return;
  const known = Object.keys(schema).map(toFileKey);
  for (const key of file.values.keys()) {
    if (known.includes(key)) continue;
    const near = nearest(key, known);
    const hint =
      near.length === 0 ? '--help lists them' : `the nearest that exist are ${near.join(', ')}`;
    throw new OptionError(`${file.path} has the unknown key ${show(key)}; ${hint}.`);
  }
}

function show(raw: unknown): string {
  return JSON.stringify(raw) ?? String(raw);
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

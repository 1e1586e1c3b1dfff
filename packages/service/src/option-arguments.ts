import { nearest } from '@cyborg/model/nearest';

import { OptionError } from './option-error.ts';
import { toFlag, toVariable } from './option-schema.ts';
import type { OptionSchema } from './option-schema.ts';

export type ReadArguments =
  | {
      readonly kind: 'run';
      /** By the schema's key; the texts of a list as an array. */
      readonly flags: ReadonlyMap<string, unknown>;
      readonly configFile: string | undefined;
    }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' };

/** Flags that every program has. */
export const commonFlags = ['--config', '--help', '--version'] as const;

interface Flag {
  readonly key: string;
  readonly isBoolean: boolean;
  readonly isList: boolean;
  /** `--no-x` */
  readonly isNegation: boolean;
}

/**
 * Reads `--flag value`, `--flag=value`, `--switch`, `--no-switch`. The last of a repeated flag wins,
 * those of a list add up.
 *
 * @throws {OptionError} for an unknown flag, a missing value, or a word that is no flag.
 */
export function readArguments(schema: OptionSchema, argv: readonly string[]): ReadArguments {
  const known = knownFlags(schema);
  const flags = new Map<string, unknown>();
  let configFile: string | undefined;
  const words = argv.values();
  for (const word of words) {
    const [name, inline] = splitFlag(word);
    if (name === '--help' || name === '-h') return { kind: 'help' };
    if (name === '--version') return { kind: 'version' };
    if (name === '--config') {
      configFile = inline ?? nextValue(name, words);
      continue;
    }
    refuseSecret(name, schema);
    const flag = known.get(name) ?? refuseUnknown(word, [...known.keys()]);
    const value = flag.isBoolean
      ? switchValue(flag, name, inline)
      : (inline ?? nextValue(name, words));
    flags.set(flag.key, flag.isList ? [...listOf(flags.get(flag.key)), value] : value);
  }
  return { kind: 'run', flags, configFile };
}

function knownFlags(schema: OptionSchema): Map<string, Flag> {
  const known = new Map<string, Flag>();
  for (const [key, { type, noFlag }] of Object.entries(schema)) {
    if (noFlag === true) continue;
    const flag = { key, isBoolean: type === 'boolean', isList: type === 'list', isNegation: false };
    known.set(toFlag(key), flag);
    if (flag.isBoolean) known.set(`--no-${toFlag(key).slice(2)}`, { ...flag, isNegation: true });
  }
  return known;
}

function splitFlag(word: string): [name: string, inline: string | undefined] {
  const at = word.indexOf('=');
  return word.startsWith('--') && at > 0
    ? [word.slice(0, at), word.slice(at + 1)]
    : [word, undefined];
}

function nextValue(name: string, words: Iterator<string>): string {
  const next = words.next();
  if (next.done === true) throw new OptionError(`${name} needs a value after it.`);
  if (next.value.startsWith('--')) {
    throw new OptionError(
      `${name} needs a value after it, and ${next.value} follows; write ${name}=${next.value} if that is the value.`,
    );
  }
  return next.value;
}

function switchValue({ isNegation }: Flag, name: string, inline: string | undefined): unknown {
  if (isNegation && inline !== undefined) throw new OptionError(`${name} takes no value.`);
  return inline ?? !isNegation;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function refuseSecret(name: string, schema: OptionSchema): void {
  const [key] =
    Object.entries(schema).find(([each, { noFlag }]) => noFlag === true && toFlag(each) === name) ??
    [];
  if (key === undefined) return;
  throw new OptionError(
    `${name} is not taken on the command line, which other users of the machine can read: ` +
      `give ${toFlag(`${key}File`)}, or the environment variable that ends in ${toVariable(key)}.`,
  );
}

function refuseUnknown(word: string, known: readonly string[]): never {
  if (!word.startsWith('-')) {
    throw new OptionError(`${JSON.stringify(word)} is not an option; options begin with --.`);
  }
  const [name] = splitFlag(word);
  const near = nearest(name, [...known, ...commonFlags]);
  const hint =
    near.length === 0 ? '--help lists them' : `the nearest that exist are ${near.join(', ')}`;
  throw new OptionError(`There is no option ${name}; ${hint}.`);
}

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

import { parse } from 'yaml';

import { OptionError } from './option-error.ts';

/** Reads a text file; throws what node:fs throws. */
export type ReadFile = (path: string) => string;

export interface ConfigFile {
  readonly path: string;
  readonly folder: string;
  readonly values: ReadonlyMap<string, unknown>;
}

/** @throws {OptionError} when the file cannot be read or is not a YAML mapping. */
export function readConfigFile(
  given: string | undefined,
  { cwd, readFile = readText }: { cwd: string; readFile?: ReadFile },
): ConfigFile | undefined {
  if (given === undefined) return undefined;
  const path = resolve(cwd, given);
  const content = parseYaml(path, readFile) ?? {};
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new OptionError(`${path} must hold keys and values, such as "log_level: debug".`);
  }
  return { path, folder: dirname(path), values: new Map(Object.entries(content)) };
}

function parseYaml(path: string, readFile: ReadFile): unknown {
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    throw new OptionError(`The configuration file cannot be read: ${messageOf(error)}.`);
  }
  try {
    return parse(text);
  } catch (error) {
    throw new OptionError(`${path} is not valid YAML: ${messageOf(error).split('\n')[0]}.`);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

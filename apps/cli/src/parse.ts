/** Turns a command's data into a commander command, and the command line into its input. */
import { Command as Commander, CommanderError, InvalidArgumentError, Option } from 'commander';

import type { Command, Flag, RawInput } from './command.ts';
import { UsageError } from './errors.ts';
import { toFlag } from './field-words.ts';
import { formats, type Format } from './output/output.ts';

/** What every command takes. */
export interface CommonFlags {
  readonly format: Format;
  readonly column?: readonly string[];
  readonly url?: string;
  readonly user?: string;
  readonly password?: string;
  readonly osCloud?: string;
}

export interface Parsed {
  readonly input: RawInput;
  readonly common: CommonFlags;
}

export interface NamedCommand {
  readonly name: string;
  readonly summary: string;
  readonly command: Command;
}

/**
 * @returns what was given, or undefined when help was asked for and printed.
 * @throws UsageError
 */
export function parseCommandLine(
  named: NamedCommand,
  argv: readonly string[],
  write: (text: string) => void,
): Parsed | undefined {
  const commander = toCommander(named, write);
  try {
    commander.parse([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.helpDisplayed') return undefined;
    const reason = error.message.replace(/^error: /, '').replace(/\.$/, '');
    throw new UsageError(`${reason}. See 'cyborg ${named.name} --help'.`);
  }
  return { input: toInput(named.command, commander), common: commander.opts<CommonFlags>() };
}

/** The help of one command, as `--help` prints it. */
export function helpOf(named: NamedCommand): string {
  let text = '';
  parseCommandLine(named, ['--help'], (piece) => (text += piece));
  return text;
}

function toCommander(
  { name, summary, command }: NamedCommand,
  write: (text: string) => void,
): Commander {
  const commander = new Commander(`cyborg ${name}`)
    .description(summary)
    .allowExcessArguments(false)
    .helpOption('-h, --help', 'print this help')
    .configureHelp({ helpWidth: 100, showGlobalOptions: false })
    .configureOutput({ writeOut: write, writeErr: () => undefined })
    .exitOverride();
  for (const [argName, { help, optional }] of Object.entries(command.args)) {
    commander.argument(optional === true ? `[${argName}]` : `<${argName}>`, help);
  }
  commander.optionsGroup('Options:');
  for (const [flagName, flag] of Object.entries(command.flags)) {
    for (const option of toOptions(flagName, flag)) commander.addOption(option);
  }
  addCommonOptions(commander);
  if (command.examples.length > 0) commander.addHelpText('after', exampleText(command));
  return commander;
}

function addCommonOptions(commander: Commander): void {
  commander.optionsGroup('Output:');
  commander.addOption(
    new Option('-f, --format <FORMAT>', 'how to print').choices([...formats]).default('table'),
  );
  commander.addOption(
    new Option('-c, --column <COLUMN>', 'only this column or field (repeatable)').argParser(
      collect,
    ),
  );
  commander.optionsGroup('Connection:');
  commander.option('--url <URL>', 'the server (CYBORG_URL)');
  commander.option('--user <NAME>', 'who you are (CYBORG_USER)');
  commander.option('--password <PASSWORD>', 'better given as CYBORG_PASSWORD');
  commander.option('--os-cloud <NAME>', 'a cloud of clouds.yaml (OS_CLOUD)');
}

function exampleText({ examples }: Command): string {
  const lines = examples.map(({ command, help }) => `  $ ${command}\n      ${help}`);
  return `\nExamples:\n${lines.join('\n')}`;
}

function toOptions(name: string, flag: Flag): Option[] {
  const long = toFlag(name).slice(2);
  switch (flag.type) {
    case 'boolean':
      return [new Option(`--${long}`, flag.help)];
    case 'negated':
      return [new Option(`--no-${long}`, flag.help)];
    case 'strings':
      return [
        new Option(`--${long} <${flag.placeholder}>`, `${flag.help} (repeatable)`).argParser(
          collect,
        ),
      ];
    case 'integer':
      return [
        new Option(`--${long} <${flag.placeholder}>`, flag.help).argParser((text) =>
          parseInteger(text, flag),
        ),
      ];
    case 'string': {
      const option = new Option(`--${long} <${flag.placeholder}>`, flag.help);
      if (flag.choices !== undefined) option.choices([...flag.choices]);
      else option.argParser(parseText);
      if (flag.nullable === undefined) return [option];
      return [option, new Option(`--no-${long}`, flag.nullable)];
    }
    default:
      return flag;
  }
}

function collect(text: string, before: unknown): string[] {
  return [...(Array.isArray(before) ? before : []), parseText(text)];
}

function parseText(text: string): string {
  if (text === '') throw new InvalidArgumentError('It must not be empty');
  return text;
}

function parseInteger(text: string, { min, max }: { min: number; max: number }): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || value < min || value > max) {
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}`);
  }
  return value;
}

function toInput(command: Command, commander: Commander): RawInput {
  const given: Record<string, unknown> = commander.opts();
  const args = Object.keys(command.args).map((name, at) => [name, nonEmpty(name, commander, at)]);
  const flags = Object.entries(command.flags).map(([name, flag]) => [
    name,
    flagValue(flag, given[name]),
  ]);
  return { args: Object.fromEntries(args), flags: Object.fromEntries(flags) };
}

function nonEmpty(name: string, commander: Commander, at: number): string | undefined {
  const value = commander.args[at];
  if (value === '') throw new UsageError(`The argument '${name}' must not be empty.`);
  return value;
}

function flagValue(flag: Flag, given: unknown): unknown {
  if (flag.type === 'boolean') return given === true;
  if (flag.type === 'strings') return given ?? [];
  if (flag.type !== 'string' || flag.nullable === undefined) return given;
  // commander gives `true` for a `--no-x` pair of which neither was given, `false` for `--no-x`.
  if (given === false) return null;
  return given === true ? undefined : given;
}

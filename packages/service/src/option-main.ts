import { escaped } from '@cyborg/model/plain-text';

import { OptionError } from './option-error.ts';
import { helpText } from './option-help.ts';
import type { OptionSchema, OptionsOf, Program } from './option-schema.ts';
import { parseOptions } from './options.ts';
import type { OptionSources } from './options.ts';

export interface OptionMain extends OptionSources {
  readonly version: string;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

/** The options to run with, or the status to end with: 0 after help or version, 2 after a wrong option. */
export type OptionOutcome<Schema extends OptionSchema> =
  | { readonly options: OptionsOf<Schema> }
  | { readonly exitCode: 0 | 2 };

/** What every program does first: reads its options, or prints help, version or the one-line error. */
export function optionsOrExitCode<Schema extends OptionSchema>(
  program: Program<Schema>,
  main: OptionMain,
): OptionOutcome<Schema> {
  try {
    const parsed = parseOptions(program, main);
    if (parsed.kind === 'run') return { options: parsed.options };
    main.stdout(parsed.kind === 'help' ? helpText(program) : `${program.name} ${main.version}\n`);
    return { exitCode: 0 };
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    main.stderr(`${program.name}: ${escaped(error.message)}\n`);
    return { exitCode: error.exitCode };
  }
}

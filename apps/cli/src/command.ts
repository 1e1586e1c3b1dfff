/** A command as data: what it takes, what it does. parse.ts turns it into options and help. */
import type { HttpClient } from '@cyborg/api-client/http';
import type { V3Client } from '@cyborg/api-client/v3';

import type { Io } from './io.ts';
import type { Output } from './output/output.ts';

interface FlagBase {
  readonly help: string;
}
interface StringFlag extends FlagBase {
  readonly type: 'string';
  readonly placeholder: string;
  readonly choices?: readonly string[];
  /** Help of `--no-NAME`, which gives null: "take it away". */
  readonly nullable?: string;
}
interface StringsFlag extends FlagBase {
  readonly type: 'strings';
  readonly placeholder: string;
}
interface IntegerFlag extends FlagBase {
  readonly type: 'integer';
  readonly placeholder: string;
  readonly min: number;
  readonly max: number;
}
interface BooleanFlag extends FlagBase {
  readonly type: 'boolean';
}
/** `--no-NAME`: true unless given. */
interface NegatedFlag extends FlagBase {
  readonly type: 'negated';
}
export type Flag = StringFlag | StringsFlag | IntegerFlag | BooleanFlag | NegatedFlag;
export type Flags = Readonly<Record<string, Flag>>;

/** Positional, in order; the name is what help shows: `<driver_id>`. */
export interface Arg {
  readonly help: string;
  readonly optional?: true;
}
export type Args = Readonly<Record<string, Arg>>;

type FlagValue<F extends Flag> = F extends { type: 'string' }
  ?
      | (F extends { choices: readonly (infer Choice)[] } ? Choice : string)
      | (F extends { nullable: string } ? null : never)
      | undefined
  : F extends { type: 'strings' }
    ? readonly string[]
    : F extends { type: 'integer' }
      ? number | undefined
      : boolean;

export interface Input<A extends Args, F extends Flags> {
  readonly args: {
    readonly [Name in keyof A]: A[Name] extends { optional: true } ? string | undefined : string;
  };
  readonly flags: { readonly [Name in keyof F]: FlagValue<F[Name]> };
}

export interface Context {
  readonly api: V3Client;
  readonly http: HttpClient;
  readonly out: Output;
  readonly io: Io;
  /** Where the server is, for messages. */
  readonly url: string;
  /** A line on stderr for the user. */
  readonly warn: (line: string) => void;
  /** Headers of the one act this command is: the same Idempotency-Key on every attempt. */
  readonly keyed: Readonly<Record<string, string>>;
}

/** What a command has that asks no server. */
export type LocalContext = Pick<Context, 'io' | 'out' | 'warn'>;

export interface Example {
  readonly command: string;
  readonly help: string;
}

interface CommandSpec<A extends Args, F extends Flags> {
  readonly args: A;
  readonly flags: F;
  readonly examples: readonly Example[];
  /** Whether it changes something (its result is printed whatever `-c` says). */
  readonly changes?: true;
  run(input: Input<A, F>, context: Context): Promise<void>;
}

/** A command whose input has been checked against its own `args` and `flags`. */
export type Command = RemoteCommand | LocalCommand;

type Face = Omit<CommandSpec<Args, Flags>, 'run'>;
export type RemoteCommand = Face & {
  readonly isLocal?: false;
  run(input: RawInput, context: Context): Promise<void>;
};
export type LocalCommand = Face & {
  readonly isLocal: true;
  run(input: RawInput, context: LocalContext): Promise<void>;
};

export interface RawInput {
  readonly args: Readonly<Record<string, string | undefined>>;
  readonly flags: Readonly<Record<string, unknown>>;
}

export function defineCommand<const A extends Args, const F extends Flags>(
  spec: CommandSpec<A, F>,
): RemoteCommand {
  return {
    ...spec,
    // parse.ts makes the input from these very `args` and `flags`, so it has this shape.
    run: (input, context) => spec.run(input as unknown as Input<A, F>, context),
  };
}

/** A command that works on this machine alone: nobody is connected to. */
export function defineLocalCommand<const A extends Args, const F extends Flags>(
  spec: Omit<CommandSpec<A, F>, 'run'> & {
    run(input: Input<A, F>, context: LocalContext): Promise<void>;
  },
): LocalCommand {
  return {
    ...spec,
    isLocal: true,
    run: (input, context) => spec.run(input as unknown as Input<A, F>, context),
  };
}

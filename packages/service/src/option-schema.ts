interface OptionBase {
  /** One sentence without its full stop. */
  readonly help: string;
  /** Stands for the value in the help: `DIR`. */
  readonly placeholder?: string;
  /** There is no default and no start without it. */
  readonly required?: boolean;
  /** Never shown, neither in an error nor in the help. */
  readonly secret?: boolean;
  /** There is no flag: other users of the machine can read command lines. */
  readonly noFlag?: boolean;
  /** More than the type can say; returns what is allowed (`an address and a port`), or undefined. */
  readonly refuse?: (value: string) => string | undefined;
}

/**
 * One option of a program. Its key in the schema (`stateDir`) gives the flag (`--state-dir`), the
 * environment variable (`CYBORG_SERVER_STATE_DIR`) and the key in the configuration file (`state_dir`).
 */
export type OptionSpec = OptionBase &
  (
    | { readonly type: 'string'; readonly default?: string }
    /** Absolute in the result; relative to the current folder, in a file to that file's. */
    | { readonly type: 'path'; readonly default?: string }
    | {
        readonly type: 'integer';
        readonly default?: number;
        readonly min: number;
        readonly max: number;
      }
    | { readonly type: 'boolean'; readonly default?: boolean }
    | { readonly type: 'enum'; readonly values: readonly string[]; readonly default?: string }
    /** A number of seconds; written `30`, `30s`, `5m`, `2h`, `1d` or `250ms`. */
    | {
        readonly type: 'duration';
        readonly default?: number;
        readonly min: number;
        readonly max: number;
      }
    /** The flag may be repeated, the variable has commas, the file a list; replaces the default. */
    | { readonly type: 'list'; readonly default?: readonly string[] }
  );

export type OptionSchema = Readonly<Record<string, OptionSpec>>;

/** What the options of a schema are once read. */
export type OptionsOf<Schema extends OptionSchema> = {
  readonly [Key in keyof Schema]: Schema[Key] extends
    | { readonly default: unknown }
    | { readonly required: true }
    ? ValueOf<Schema[Key]>
    : ValueOf<Schema[Key]> | undefined;
};

type ValueOf<Spec extends OptionSpec> = Spec extends {
  type: 'enum';
  values: readonly (infer V)[];
}
  ? V
  : Spec extends { type: 'integer' | 'duration' }
    ? number
    : Spec extends { type: 'boolean' }
      ? boolean
      : Spec extends { type: 'list' }
        ? readonly string[]
        : string;

export interface Program<Schema extends OptionSchema> {
  /** `cyborg-server` */
  readonly name: string;
  /** `CYBORG_SERVER_` */
  readonly environmentPrefix: string;
  readonly summary: string;
  readonly options: Schema;
}

/** Keeps the literal types of a schema, so that the parsed options have exact types. */
export function defineProgram<const Schema extends OptionSchema>(
  program: Program<Schema>,
): Program<Schema> {
  return program;
}

/** `stateDir` → `--state-dir` */
export function toFlag(key: string): string {
  return `--${toWords(key, '-')}`;
}

/** `stateDir` → `STATE_DIR` */
export function toVariable(key: string): string {
  return toWords(key, '_').toUpperCase();
}

/** `stateDir` → `state_dir` */
export function toFileKey(key: string): string {
  return toWords(key, '_');
}

function toWords(key: string, separator: string): string {
  return key.replace(/[A-Z]/g, (letter) => `${separator}${letter.toLowerCase()}`);
}

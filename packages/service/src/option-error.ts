/** A wrong option; programs print its message and end with status 2. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
  readonly exitCode = 2 as const;
}

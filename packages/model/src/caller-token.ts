/** A caller's token while its request lasts: for asking other services in the caller's name. Never logged or stored. */
export class CallerToken {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** Only for the header of a call. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '[token]';
  }

  toJSON(): string {
    return '[token]';
  }
}

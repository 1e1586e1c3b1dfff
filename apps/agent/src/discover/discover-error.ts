/** Why `cyborg-agent discover` has no answer: the user's words (exit 2), or the tree or the driver (exit 1). */
export class DiscoverError extends Error {
  override readonly name = 'DiscoverError';
  readonly kind: 'usage' | 'failed';

  constructor(kind: 'usage' | 'failed', message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.kind = kind;
  }
}

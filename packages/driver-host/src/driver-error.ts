import type { DriverErrorCode } from '@cyborg/driver-sdk/protocol-constants';

/**
 * How a call to a driver failed. The protocol's own codes, and: `internal` (a bug of the driver), `deadline` (no answer in
 * time), `nonsense` (an answer that is not what the protocol says), `down` (no process is there to ask).
 */
export type DriverFailure = DriverErrorCode | 'internal' | 'deadline' | 'nonsense' | 'down';

export class DriverCallError extends Error {
  override readonly name = 'DriverCallError';
  readonly failure: DriverFailure;

  constructor(failure: DriverFailure, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.failure = failure;
  }
}

const lasting: ReadonlySet<DriverFailure> = new Set<DriverFailure>([
  'gone',
  'invalid',
  'unsupported',
  'host-use',
]);

/** Whether trying again cannot help. */
export function isLasting(error: unknown): boolean {
  return error instanceof DriverCallError && lasting.has(error.failure);
}

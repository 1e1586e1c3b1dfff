import type { DriverErrorCode } from '@cyborg/driver-sdk/protocol-constants';
import type { ActChanges, ActFailure } from '../act-order.ts';

/** An act that was refused, or did not succeed, with the code that the driver is told. */
export class RefusedAct extends Error {
  override readonly name = 'RefusedAct';
  readonly code: DriverErrorCode;
  readonly changes: ActChanges;

  constructor(
    code: DriverErrorCode,
    message: string,
    { changes = {}, ...options }: { changes?: ActChanges; cause?: unknown } = {},
  ) {
    super(message, options);
    this.code = code;
    this.changes = changes;
  }

  /** The same with these for the agent's notes. */
  with(changes: ActChanges): RefusedAct {
    return new RefusedAct(this.code, this.message, { changes, cause: this.cause });
  }
}

export function toFailure(error: unknown): ActFailure {
  if (error instanceof RefusedAct) {
    return { code: error.code, message: error.message, ...error.changes };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'transient', message };
}

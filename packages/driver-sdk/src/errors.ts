import { driverErrorCodes, type DriverErrorCode } from './protocol-constants.ts';

/**
 * An expected failure of a driver, sent to the agent with its code.
 *
 * Throw `transient` when a later try may succeed (the agent retries with backoff), `gone` when the accelerator is no
 * longer there, `invalid` for a wrong configuration or parameter (name the key and the value), `unsupported` when this
 * accelerator or driver cannot do it, `host-use` when the host uses the function. Anything else that is thrown is a bug
 * and reaches the agent as an internal error.
 */
export class DriverError extends Error {
  override readonly name = 'DriverError';
  readonly code: DriverErrorCode;

  constructor(code: DriverErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }

  /** The number on the wire. */
  get wireCode(): number {
    return driverErrorCodes[this.code];
  }
}

const nameOfCode = new Map<number, DriverErrorCode>([
  [driverErrorCodes.gone, 'gone'],
  [driverErrorCodes.transient, 'transient'],
  [driverErrorCodes.invalid, 'invalid'],
  [driverErrorCodes.unsupported, 'unsupported'],
  [driverErrorCodes['host-use'], 'host-use'],
]);

/** The name of a wire code, or undefined for JSON-RPC's own codes. */
export function driverErrorName(wireCode: number): DriverErrorCode | undefined {
  return nameOfCode.get(wireCode);
}

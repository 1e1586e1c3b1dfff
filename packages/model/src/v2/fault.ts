/**
 * A refusal of the v2 API in upstream's own words: clients and their tests compare status and text.
 * It becomes `{"error_message": "{\"faultcode\": …, \"faultstring\": …}"}`.
 */
export type V2Status = 400 | 403 | 404 | 406 | 409 | 415 | 500 | 503;

export class V2Fault extends Error {
  override readonly name = 'V2Fault';
  readonly status: V2Status;
  /** For the log; never sent to a caller. */
  readonly internal: string | undefined;

  constructor(
    status: V2Status,
    faultstring: string,
    details: { readonly internal?: string; readonly cause?: unknown } = {},
  ) {
    super(faultstring, { cause: details.cause });
    this.status = status;
    this.internal = details.internal;
  }
}

/** What upstream says of a thing that is not there, or not the caller's: `Device not found with uuid=…`. */
export function notFound(what: string, msg: string): V2Fault {
  return new V2Fault(404, `${what} not found ${msg}`);
}

/** @param resource  the policy's rule */
export function accessDenied(resource: string): V2Fault {
  return new V2Fault(403, `Access was denied to the following resource: ${resource}`);
}

/** What goes wrong between us and a service of OpenStack, said so that an operator can act on it. */
export type OpenStackFailure =
  /** An answer with a status that the call does not expect. */
  | 'answered'
  | 'refused'
  | 'unresolvable'
  | 'tls'
  | 'lost'
  | 'timeout'
  | 'malformed'
  | 'too-large'
  /** Keystone knows neither user nor password, or the account may not do this. */
  | 'sign-in'
  | 'no-endpoint'
  /** What was downloaded is not what the service said it has. */
  | 'corrupt';

export interface Exchange {
  /** `Placement`, `Nova`, … */
  readonly service: string;
  readonly method: string;
  /** Without query and without the endpoint's own path. */
  readonly path: string;
}

export interface OpenStackErrorDetails {
  readonly failure: OpenStackFailure;
  readonly exchange?: Exchange | undefined;
  /** Of the answer; undefined when there was none. */
  readonly status?: number | undefined;
  /** The service's own code, such as `placement.concurrent_update`. */
  readonly code?: string | undefined;
  /** The service's own words. */
  readonly detail?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly requestId?: string | undefined;
  readonly cause?: unknown;
}

/** Its message names service, method, path and status, and the way out. Tokens and passwords are never in it. */
export class OpenStackError extends Error {
  override readonly name = 'OpenStackError';
  readonly failure: OpenStackFailure;
  readonly exchange: Exchange | undefined;
  readonly status: number | undefined;
  readonly code: string | undefined;
  readonly detail: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly requestId: string | undefined;

  constructor(message: string, details: OpenStackErrorDetails) {
    super(message, { cause: details.cause });
    this.failure = details.failure;
    this.exchange = details.exchange;
    this.status = details.status;
    this.code = details.code;
    this.detail = details.detail;
    this.retryAfterMs = details.retryAfterMs;
    this.requestId = details.requestId;
  }
}

const outages: ReadonlySet<OpenStackFailure> = new Set([
  'refused',
  'unresolvable',
  'lost',
  'timeout',
]);

/** True when the same call may well succeed later: the service is away, overloaded or broken; the caller is not wrong. */
export function isOutage(error: unknown): error is OpenStackError {
  if (!(error instanceof OpenStackError)) return false;
  if (outages.has(error.failure)) return true;
  return error.status !== undefined && (error.status >= 500 || error.status === 429);
}

/** True for an answer of this status; `code` narrows it to one of the service's reasons. */
export function isAnswer(error: unknown, status: number, code?: string): error is OpenStackError {
  return (
    error instanceof OpenStackError &&
    error.failure === 'answered' &&
    error.status === status &&
    (code === undefined || error.code === code)
  );
}

export function nameOf({ service, method, path }: Exchange): string {
  return `${method} ${path} of ${service}`;
}

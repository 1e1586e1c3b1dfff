/** The server answered, and the answer is a refusal or a failure (an RFC 9457 problem where it sent one). */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** Stable code of the problem; `http-<status>` when the answer was no problem document. */
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  /** Further members of the problem: `choices`, `users`, `nearest`, … */
  readonly extra: Readonly<Record<string, unknown>>;
  /** What `Retry-After` asked for, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** The server's id of the request, for its log. */
  readonly requestId: string | undefined;

  constructor(answer: {
    status: number;
    code: string;
    title: string;
    detail: string;
    extra?: Readonly<Record<string, unknown>>;
    retryAfterMs?: number | undefined;
    requestId?: string | undefined;
  }) {
    super(answer.detail);
    this.status = answer.status;
    this.code = answer.code;
    this.title = answer.title;
    this.detail = answer.detail;
    this.extra = answer.extra ?? {};
    this.retryAfterMs = answer.retryAfterMs;
    this.requestId = answer.requestId;
  }
}

/**
 * - `refused`: nothing listens there, or the way there is closed: the request was never sent.
 * - `unresolvable`: the host name has no address.
 * - `tls`: no trust, or no common ground, between the two ends.
 * - `lost`: the connection broke; the request may or may not have been carried out.
 * - `timeout`: connected, but no complete answer in time.
 * - `too-large`, `malformed`: an answer that is over the limit, or not what it says it is.
 */
export type ConnectionFailure =
  | 'refused'
  | 'unresolvable'
  | 'tls'
  | 'lost'
  | 'timeout'
  | 'too-large'
  | 'malformed';

/** There is no answer of the server to speak of. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly failure: ConnectionFailure;

  constructor(failure: ConnectionFailure, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.failure = failure;
  }
}

/** The only place that knows both errors and HTTP: whatever is thrown becomes an RFC 9457 problem. */
import { ServiceError, errorCodes } from '@cyborg/model/errors';
import type { ErrorKind } from '@cyborg/model/errors';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  /** Request id. */
  readonly instance: string;
  readonly [member: string]: unknown;
}

export interface Answer {
  readonly problem: Problem;
  readonly headers: Readonly<Record<string, string>>;
  /** For the log: undefined when there is nothing that the caller was not told. */
  readonly logged: { readonly level: 'error' | 'warn'; readonly error: unknown } | undefined;
}

export const statusOf: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  'wrong-method': 405,
  'too-slow': 408,
  conflict: 409,
  capacity: 409,
  gone: 410,
  precondition: 412,
  'too-large': 413,
  'unsupported-media': 415,
  unprocessable: 422,
  'headers-too-large': 431,
  throttled: 429,
  unavailable: 503,
};

const retryAfterSecondsDefault = 1;

export function toAnswer(error: unknown, requestId: string): Answer {
  const known = toServiceError(error);
  return known === undefined
    ? { problem: bareProblem(requestId), headers: {}, logged: { level: 'error', error } }
    : serviceAnswer(known, requestId);
}

function serviceAnswer(error: ServiceError, requestId: string): Answer {
  const { kind, title } = errorCodes[error.code];
  const status = statusOf[kind];
  return {
    problem: {
      ...error.extra,
      type: `urn:cyborg:${error.code}`,
      title,
      status,
      code: error.code,
      detail: error.message,
      instance: requestId,
    },
    headers: retryHeaders(error, status),
    logged:
      error.internal === undefined && status !== 503
        ? undefined
        : { level: 'warn', error: error.cause ?? error },
  };
}

function retryHeaders(error: ServiceError, status: number): Record<string, string> {
  const given = error.extra['retry_after_seconds'];
  if (typeof given === 'number') return { 'retry-after': String(Math.ceil(given)) };
  return status === 503 || status === 429
    ? { 'retry-after': String(retryAfterSecondsDefault) }
    : {};
}

function bareProblem(requestId: string): Problem {
  return {
    type: 'about:blank',
    title: 'Internal error',
    status: 500,
    code: 'internal-error',
    detail: `This is a fault of the server; its log says more under ${requestId}.`,
    instance: requestId,
  };
}

function toServiceError(error: unknown): ServiceError | undefined {
  if (error instanceof ServiceError) return error;
  if (typeof error !== 'object' || error === null) return undefined;
  const code = 'code' in error ? String(error.code) : '';
  const message = error instanceof Error ? error.message : '';
  return (
    fromFramework(code, statusCodeOf(error), message) ??
    fromDatabase(code, message, { cause: error, internal: message })
  );
}

function statusCodeOf(error: object): number | undefined {
  return 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : undefined;
}

function fromFramework(
  code: string,
  status: number | undefined,
  message: string,
): ServiceError | undefined {
  if (status === 413) {
    return new ServiceError('body-too-large', `${withStop(message)} Send less in one request.`);
  }
  if (status === 415) {
    return new ServiceError(
      'unsupported-media-type',
      'Only JSON is accepted: send the body with Content-Type: application/json.',
    );
  }
  if (status === 400 || code === 'FST_ERR_BAD_URL' || code === 'FST_ERR_MAX_PARAM_LENGTH') {
    return new ServiceError('invalid-input', withStop(message));
  }
  return undefined;
}

function withStop(message: string): string {
  return message.endsWith('.') ? message : `${message}.`;
}

interface Details {
  readonly cause: unknown;
  readonly internal: string;
}

/**
 * What PostgreSQL or its driver says when it is away, overloaded or full.
 *
 * @see https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const awayClasses = new Set(['08', '40', '53', '55', '57', '58']);
const awayCodes = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE', 'ETIMEDOUT', '25006']);
const awayMessages =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Cannot use a pool after calling end|driver has already been destroyed)/;

function fromDatabase(code: string, message: string, details: Details): ServiceError | undefined {
  const isSqlState = /^[0-9A-Z]{5}$/.test(code);
  if (isSqlState && code.startsWith('22')) {
    return new ServiceError(
      'invalid-input',
      'A value is outside of what can be stored: send a smaller number or plain text.',
      details,
    );
  }
  if (code === '53100') {
    return new ServiceError(
      'unavailable',
      'The disk of the database is full: make room on it, then try again.',
      details,
    );
  }
  const isAway =
    awayCodes.has(code) ||
    (isSqlState && awayClasses.has(code.slice(0, 2))) ||
    awayMessages.test(message);
  return isAway
    ? new ServiceError('unavailable', 'The database does not answer now: try again.', details)
    : undefined;
}

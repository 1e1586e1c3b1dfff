/** Every code is public, is described in docs/reference/errors.md (a test compares), and is never reused. */
export type ErrorKind =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not-found'
  | 'conflict'
  | 'precondition'
  | 'unprocessable'
  | 'too-large'
  | 'headers-too-large'
  | 'too-slow'
  | 'gone'
  | 'unsupported-media'
  | 'wrong-method'
  | 'throttled'
  | 'capacity'
  | 'unavailable';

export const errorCodes = {
  'invalid-input': { kind: 'invalid', title: 'A field is wrong' },
  'body-too-large': { kind: 'too-large', title: 'The request body is too large' },
  'headers-too-large': { kind: 'headers-too-large', title: 'The request headers are too large' },
  'request-timeout': { kind: 'too-slow', title: 'The request did not arrive in time' },
  'unsupported-media-type': { kind: 'unsupported-media', title: 'Only JSON is accepted' },
  'not-authenticated': { kind: 'unauthenticated', title: 'Credentials are missing or wrong' },
  forbidden: { kind: 'forbidden', title: 'The role does not allow this' },
  'key-not-delegable': { kind: 'forbidden', title: 'Only an admin may set this configuration key' },
  'too-many-failed-logins': { kind: 'throttled', title: 'Too many failed logins' },
  'no-such-route': { kind: 'not-found', title: 'No such path' },
  'method-not-allowed': { kind: 'wrong-method', title: 'The path does not know this method' },
  'driver-not-found': { kind: 'not-found', title: 'No such driver' },
  'driver-version-not-found': { kind: 'not-found', title: 'No such driver version' },
  'package-refused': { kind: 'invalid', title: 'The driver package is wrong' },
  'report-refused': { kind: 'invalid', title: 'The conformance report does not fit' },
  'signature-refused': { kind: 'forbidden', title: 'No trusted key has signed the package' },
  'deployment-not-found': { kind: 'not-found', title: 'The driver is not installed' },
  'host-not-found': { kind: 'not-found', title: 'No such host' },
  'backend-not-found': { kind: 'not-found', title: 'No such backend' },
  'service-not-found': { kind: 'not-found', title: 'No such service' },
  'device-not-found': { kind: 'not-found', title: 'No such device' },
  'accelerator-not-found': { kind: 'not-found', title: 'No such accelerator' },
  'image-not-found': { kind: 'not-found', title: 'No such program image' },
  'instance-not-found': { kind: 'not-found', title: 'No such instance' },
  'attachment-not-found': { kind: 'not-found', title: 'No such attachment' },
  'profile-not-found': { kind: 'not-found', title: 'No such device profile' },
  'join-token-not-found': { kind: 'not-found', title: 'No such join token' },
  'grant-not-found': { kind: 'not-found', title: 'No such grant' },
  'operation-not-found': { kind: 'not-found', title: 'No such operation' },
  'event-number-unknown': { kind: 'gone', title: 'No event has had this number yet' },
  'event-number-forgotten': { kind: 'gone', title: 'Events this old are not kept any more' },
  'unclaimed-not-found': { kind: 'not-found', title: 'No such unclaimed device' },
  'wrong-state': { kind: 'conflict', title: 'The thing is in a state that does not allow this' },
  'already-exists': { kind: 'conflict', title: 'The name is in use' },
  'already-attached': { kind: 'conflict', title: 'The accelerator is attached already' },
  'in-use': { kind: 'conflict', title: 'Something still uses it' },
  'backend-overlap': { kind: 'conflict', title: 'Two backends claim the same function' },
  'use-update-driver': { kind: 'conflict', title: 'Another version is installed' },
  'host-not-ready': { kind: 'conflict', title: 'The host cannot do this now' },
  'instance-not-ready': {
    kind: 'conflict',
    title: 'The instance cannot be given an accelerator now',
  },
  'choice-needed': { kind: 'conflict', title: 'More than one kind would fit: choose one' },
  'stale-edit': { kind: 'precondition', title: 'The thing has changed since it was read' },
  'idempotency-mismatch': {
    kind: 'unprocessable',
    title: 'The idempotency key was used for another request',
  },
  'idempotency-running': {
    kind: 'conflict',
    title: 'The first request with this idempotency key is still running',
  },
  'no-accelerator-left': { kind: 'capacity', title: 'No matching accelerator is free' },
  'part-of-group': { kind: 'conflict', title: 'A part of an IOMMU group does not go alone' },
  'quota-exceeded': { kind: 'capacity', title: 'The quota of the project is used up' },
  'not-cancellable': { kind: 'conflict', title: 'The operation cannot be cancelled any more' },
  unavailable: { kind: 'unavailable', title: 'Try again shortly' },
  'enrolment-refused': { kind: 'forbidden', title: 'The join token is not valid' },
  'agent-already-running': {
    kind: 'conflict',
    title: 'Another agent holds the lease of this host',
  },
  'wrong-ledger': { kind: 'conflict', title: 'The agent belongs to another ledger' },
} as const satisfies Record<string, { kind: ErrorKind; title: string }>;

export type ErrorCode = keyof typeof errorCodes;

export interface ErrorDetails {
  /** For the log; never sent to a caller. */
  readonly internal?: string;
  readonly cause?: unknown;
  /** Extra members of the problem document: choices, users, nearest names. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** An expected failure. Anything else that is thrown is a bug and becomes a bare 500. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly code: ErrorCode;
  readonly internal: string | undefined;
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.code = code;
    this.internal = details.internal;
    this.extra = details.extra ?? {};
  }
}

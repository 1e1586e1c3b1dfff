/** Why the embedded database cannot run; `cyborg-server` prints the message as it is. */
export type EmbeddedPostgresReason =
  | 'binaries-missing'
  | 'data-newer'
  | 'data-older'
  | 'directory-in-use'
  | 'directory-unusable'
  | 'disk-full'
  | 'no-way-to-run'
  | 'start-failed';

export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
  readonly reason: EmbeddedPostgresReason;

  constructor(reason: EmbeddedPostgresReason, message: string, cause?: unknown) {
    super(message, { cause });
    this.reason = reason;
  }
}

/** When a block fits in part, postgres has no error of the kernel to show, only the hint. */
const diskFullPattern =
  /No space left on device|Disk quota exceeded|Check free disk space|\bENOSPC\b|\bEDQUOT\b/i;

/** Do these lines of initdb or postgres, or this error of Node, say that the disk is full? */
export function saysDiskFull(text: string): boolean {
  return diskFullPattern.test(text);
}

export function diskFull(directory: string, cause?: unknown): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'disk-full',
    `The disk that holds ${directory} is full, so the embedded PostgreSQL cannot run. ` +
      'Free some space there (1 GB is a good start) or give another --state-dir; nothing was lost.',
    cause,
  );
}

/** Turns any failure around `directory` into one that an operator can act on. */
export function toEmbeddedError(directory: string, error: unknown): EmbeddedPostgresError {
  if (error instanceof EmbeddedPostgresError) return error;
  const text = error instanceof Error ? error.message : String(error);
  if (saysDiskFull(text)) return diskFull(directory, error);
  if (/\bE(ACCES|PERM|ROFS|NOTDIR|EXIST)\b/.test(text)) {
    return new EmbeddedPostgresError(
      'directory-unusable',
      `The directory ${directory} cannot be used for the embedded PostgreSQL: ${text}. ` +
        'Give this user write access to it, or give another --state-dir.',
      error,
    );
  }
  return new EmbeddedPostgresError(
    'start-failed',
    `The embedded PostgreSQL in ${directory} did not start: ${text}`,
    error,
  );
}

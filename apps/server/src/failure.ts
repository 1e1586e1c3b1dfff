/** How a start that failed is told: one sentence for what an operator can act on, a stack for a fault of ours. */
import { escaped } from '@cyborg/model/plain-text';
import { OptionError } from '@cyborg/service/option-error';
import { EmbeddedPostgresError } from '@cyborg/store/embedded/failure';
import { DowngradeRefused } from '@cyborg/store/migrate';

/** The database was made by another build of this program; the message says what to do. */
export class ForeignSchema extends Error {
  override readonly name = 'ForeignSchema';
}

const expected = [OptionError, EmbeddedPostgresError, DowngradeRefused, ForeignSchema] as const;
const ownWords = /^Cannot (listen|read|write) /;
const databaseCodes = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'ETIMEDOUT',
  '28P01',
  '28000',
  '3D000',
  '42501',
]);
/** What the system says of a file or folder that it will not give us: its sentence names the path. */
const fileCodes = new Set(['EACCES', 'EDQUOT', 'ENOSPC', 'EPERM', 'EROFS']);

export function describeFailure(error: unknown): string {
  return escaped(rawFailure(error));
}

function rawFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (expected.some((kind) => error instanceof kind)) return error.message;
  if (ownWords.test(error.message)) return error.message;
  if (isOfDatabase(error)) {
    return `The database cannot be used: ${error.message || error.code}. Check --database-url and the database itself.`;
  }
  return isOfFile(error) ? error.message : (error.stack ?? error.message);
}

function isOfFile(error: Error): boolean {
  return 'code' in error && 'path' in error && fileCodes.has(String(error.code));
}

function isOfDatabase(error: Error): error is Error & { readonly code: string } {
  if (!('code' in error) || typeof error.code !== 'string') return false;
  const isMissingSocket = 'syscall' in error && error.syscall === 'connect';
  return databaseCodes.has(error.code) || isMissingSocket;
}

export function exitCodeOf(error: unknown): number {
  return error instanceof OptionError ? error.exitCode : 1;
}

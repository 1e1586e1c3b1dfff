/** How a start that failed is told: one sentence for what an operator can act on, a stack for a fault of ours. */
import { OptionError } from '@cyborg/service/option-error';
import { EmbeddedPostgresError } from '@cyborg/store/embedded/failure';
import { DowngradeRefused } from '@cyborg/store/migrate';

const expected = [OptionError, EmbeddedPostgresError, DowngradeRefused] as const;
const ownWords = /^Cannot (listen|read|write) /;
const databaseCodes = new Set([
  'ECONNREFUSED',
  'ENOENT',
  'ENOTFOUND',
  'ETIMEDOUT',
  '28P01',
  '28000',
  '3D000',
  '42501',
]);

export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (expected.some((kind) => error instanceof kind)) return error.message;
  if (ownWords.test(error.message)) return error.message;
  if ('code' in error && databaseCodes.has(String(error.code))) {
    return `The database cannot be used: ${error.message || String(error.code)}. Check --database-url and the database itself.`;
  }
  return error.stack ?? error.message;
}

export function exitCodeOf(error: unknown): number {
  return error instanceof OptionError ? error.exitCode : 1;
}

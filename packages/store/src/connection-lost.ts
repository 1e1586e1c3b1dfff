const lostCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  // PostgreSQL: shutting down, starting up, the backend was ended.
  '57P01',
  '57P02',
  '57P03',
]);

const lostPattern =
  /Connection terminated|connection error and is not queryable|timeout exceeded when trying to connect|Client was closed/;

/**
 * Did this query fail because the database went away? Then it may be tried again on a new connection;
 * of a `commit` nobody knows whether it was done.
 */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return lostCodes.has(code) || code.startsWith('08') || lostPattern.test(error.message);
}

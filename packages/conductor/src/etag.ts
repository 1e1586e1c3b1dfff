/** ETags: a row's last change in milliseconds, in base 36. Updates move it by at least one millisecond. */
import { ServiceError } from '@cyborg/model/errors';

interface Changing {
  readonly created_at: Date;
  readonly updated_at: Date | null;
}

export function etagOf(row: Changing): string {
  return `"${(row.updated_at ?? row.created_at).getTime().toString(36)}"`;
}

/**
 * Compares an If-Match header with a row that is locked for update.
 *
 * @throws ServiceError `stale-edit` when the row has changed since it was read.
 */
export function checkIfMatch(ifMatch: string | undefined, row: Changing, name: string): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  const current = etagOf(row);
  const given = ifMatch.split(',').map((tag) => tag.trim());
  if (given.includes(current)) return;
  throw new ServiceError(
    'stale-edit',
    `${name} has changed since it was read (its ETag is ${current} now): read it again and repeat the change.`,
  );
}

/** When a row that changes now was changed: later than before, also when the clock stood still or went back. */
export function changedAt(row: Changing, now: Date): Date {
  const before = (row.updated_at ?? row.created_at).getTime();
  return now.getTime() > before ? now : new Date(before + 1);
}

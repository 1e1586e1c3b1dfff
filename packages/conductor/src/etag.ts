/**
 * ETags of what may be changed. Of a row: its last change in milliseconds, in base 36; updates move it by at least one
 * millisecond. Of a set without a row of its own: a hash of what may be changed in it.
 */
import { createHash } from 'node:crypto';

import { ServiceError } from '@cyborg/model/errors';

interface Changing {
  readonly created_at: Date;
  readonly updated_at: Date | null;
}

export function etagOf(row: Changing): string {
  return `"${(row.updated_at ?? row.created_at).getTime().toString(36)}"`;
}

const hashCharsMax = 22;

/** `content` is plain JSON in an order that does not depend on chance. */
export function etagOfContent(content: unknown): string {
  const hash = createHash('sha256').update(JSON.stringify(content)).digest('base64url');
  return `"${hash.slice(0, hashCharsMax)}"`;
}

const etagKey = Symbol('etag');

/** Gives a view the ETag that its own dates do not tell. It is no part of the answer's body. */
export function withEtag<View extends object>(view: View, etag: string): View {
  return Object.defineProperty(view, etagKey, { value: etag, enumerable: false });
}

/** The ETag of a view: the one it was given, or that of its dates; what is never updated has a date of creation alone. */
export function etagOfView(view: unknown): string | undefined {
  if (typeof view !== 'object' || view === null) return undefined;
  if (etagKey in view && typeof view[etagKey] === 'string') return view[etagKey];
  if (!('created_at' in view) || !(view.created_at instanceof Date)) return undefined;
  const updatedAt = 'updated_at' in view ? view.updated_at : null;
  if (updatedAt !== null && !(updatedAt instanceof Date)) return undefined;
  return etagOf({ created_at: view.created_at, updated_at: updatedAt });
}

/**
 * Compares an If-Match header with a row that is locked for update.
 *
 * @throws ServiceError `stale-edit` when the row has changed since it was read.
 */
export function checkIfMatch(ifMatch: string | undefined, row: Changing, name: string): void {
  checkEtag(ifMatch, etagOf(row), name);
}

/** The same for what is not there (yet): no ETag fits it, and neither does `*`. */
export function checkIfMatchAbsent(ifMatch: string | undefined, name: string): void {
  if (ifMatch === undefined) return;
  throw new ServiceError(
    'stale-edit',
    `${name} does not exist, so nothing matches If-Match ${ifMatch}: leave it out to create it.`,
  );
}

/** @throws ServiceError `stale-edit` unless one of the tags given is the current one. */
export function checkEtag(ifMatch: string | undefined, current: string, name: string): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
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

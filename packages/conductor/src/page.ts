/** Keyset pages: a marker is the sort key of the last row, so that every page costs the same. */
import { ServiceError } from '@cyborg/model/errors';
import { isUuid } from '@cyborg/model/ids';

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next: string | null;
}

export const pageItemsDefault = 100;

export interface PageQuery {
  readonly limit?: number | undefined;
  readonly marker?: string | undefined;
}

/** Rows asked for: one more than the page, to know whether another page follows. */
export function rowsWanted({ limit }: PageQuery): number {
  return (limit ?? pageItemsDefault) + 1;
}

/** Cuts the row too many off and makes the next marker of the last one that stays. */
export function toPage<Row, Item>(
  rows: readonly Row[],
  query: PageQuery,
  { keyOf, toItem }: { keyOf: (row: Row) => readonly string[]; toItem: (row: Row) => Item },
): Page<Item> {
  const limit = query.limit ?? pageItemsDefault;
  const kept = rows.slice(0, limit);
  const last = kept.at(-1);
  return {
    items: kept.map(toItem),
    next: rows.length > limit && last !== undefined ? toMarker(keyOf(last)) : null,
  };
}

export function toMarker(key: readonly string[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/**
 * Reads a marker of `parts` parts; undefined when there is none.
 *
 * @throws ServiceError `invalid-input` when it is not one of ours.
 */
export function fromMarker(marker: string | undefined, parts: number): string[] | undefined {
  if (marker === undefined) return undefined;
  const key = parseKey(marker);
  if (key === undefined || key.length !== parts) throw badMarker(marker);
  return key;
}

/** Reads a marker that is one id. */
export function idFromMarker(marker: string | undefined): string | undefined {
  const id = fromMarker(marker, 1)?.[0];
  if (marker !== undefined && (id === undefined || !isUuid(id))) throw badMarker(marker);
  return id;
}

/** Reads a marker that is one number. */
export function numberFromMarker(marker: string | undefined): number | undefined {
  const text = fromMarker(marker, 1)?.[0];
  if (marker === undefined) return undefined;
  if (text === undefined || !/^\d{1,9}$/.test(text)) throw badMarker(marker);
  return Number(text);
}

export function badMarker(marker: string): ServiceError {
  return new ServiceError(
    'invalid-input',
    `marker: "${marker}" is not the "next" of an earlier page of this list; leave it out to start from the beginning.`,
  );
}

function parseKey(marker: string): string[] | undefined {
  try {
    const key: unknown = JSON.parse(Buffer.from(marker, 'base64url').toString('utf8'));
    if (!Array.isArray(key)) return undefined;
    // PostgreSQL has no NUL in text: a forged marker must not become a database error.
    return key.filter((part) => typeof part === 'string' && !part.includes('\u0000'));
  } catch {
    return undefined;
  }
}

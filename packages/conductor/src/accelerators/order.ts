/** In which order accelerators are listed, and where a page begins. */
import { isUuid } from '@cyborg/model/ids';
import type { ListedAcceleratorRow } from '@cyborg/store/accelerators';
import type { PageOfIds } from '@cyborg/store/page-of-ids';
import { sql, type RawBuilder, type SqlBool } from 'kysely';

import { badMarker, fromMarker, idFromMarker } from '../page.ts';

const columns = {
  name: sql<string>`accelerator.name collate "C"`,
  type: sql<string>`accelerator.type`,
  state: sql<string>`accelerator.state`,
} as const;

type Column = keyof typeof columns;

function isColumn(text: string): text is Column {
  return Object.hasOwn(columns, text);
}

export interface AcceleratorOrder {
  readonly page: Pick<PageOfIds, 'after' | 'order'>;
  readonly keyOf: (row: ListedAcceleratorRow) => readonly string[];
}

/** `sort` is a column, or `-` and a column for the other way round: checked by the schema. */
export function readOrder({
  sort = '',
  marker,
}: {
  readonly sort?: string | undefined;
  readonly marker?: string | undefined;
}): AcceleratorOrder {
  const isDescending = sort.startsWith('-');
  const name = isDescending ? sort.slice(1) : sort;
  if (!isColumn(name)) return { page: { after: idFromMarker(marker) }, keyOf: (row) => [row.id] };
  const [afterKey, after] = fromMarker(marker, 2) ?? [];
  if (marker !== undefined && (after === undefined || !isUuid(after))) throw badMarker(marker);
  return {
    page: { after, order: { column: columns[name], isDescending, afterKey } },
    keyOf: (row) => [row[name], row.id],
  };
}

export function beginsWith(text: string): RawBuilder<SqlBool> {
  const pattern = `${text.replaceAll(/[\\%_]/g, String.raw`\$&`)}%`;
  return sql<SqlBool>`accelerator.name collate "C" like ${pattern}`;
}

/** v2's `filters.field=F&filters.value=V` and `filters[0].field=…`: legal names are many, few have an effect. */
import { V2Fault } from '@cyborg/model/v2/fault';
import type { Sort } from '@cyborg/store/v2/batches';

const legalFields = [
  'parent_uuid',
  'root_uuid',
  'board',
  'availability',
  'interface_type',
  'instance_uuid',
  'limit',
  'marker',
  'sort_key',
  'sort_dir',
  'name',
];

export type Query = Readonly<Record<string, string>>;
type Sorts = Readonly<Record<string, Omit<Sort, 'direction'>>>;

/** @throws V2Fault 400 for a field that does not exist, or one without its value. */
export function parseFilters(query: Query): ReadonlyMap<string, string> {
  const pairs = new Map<string, { field?: string; value?: string }>();
  for (const [name, text] of Object.entries(query)) {
    const [, index, part] = /^filters(?:\[(\d+)\])?\.(field|value)$/.exec(name) ?? [];
    if (part === undefined) continue;
    const pair = pairs.get(index ?? '') ?? {};
    pairs.set(index ?? '', { ...pair, [part]: text });
  }
  return new Map([...pairs.values()].map(({ field, value }) => checked(field, value)));
}

function checked(field: string | undefined, value: string | undefined): [string, string] {
  if (field === undefined) throw new V2Fault(400, 'Missing argument: "filters.field"');
  if (!legalFields.includes(field)) {
    throw new V2Fault(
      400,
      `Invalid input for field/attribute field. Value: '${field}'. Value should be one of: ${legalFields.join(', ')}`,
    );
  }
  if (value === undefined) throw new V2Fault(400, 'Missing argument: "filters.value"');
  return [field, value];
}

export interface Order {
  readonly sort: Sort;
  readonly limit: number | undefined;
}

/**
 * By id; with any filter the newest first, or as `sort_key` and `sort_dir` say.
 *
 * @throws V2Fault 400
 */
export function orderOf(
  filters: ReadonlyMap<string, string>,
  { sorts, isFiltered }: { readonly sorts: Sorts; readonly isFiltered: boolean },
): Order {
  const byDefault = isFiltered || filters.size > 0 ? ['created_at', 'desc'] : ['id', 'asc'];
  const key = filters.get('sort_key') ?? byDefault[0] ?? '';
  const direction = filters.get('sort_dir') ?? byDefault[1];
  const found = Object.hasOwn(sorts, key) ? sorts[key] : undefined;
  if (found === undefined) {
    throw new V2Fault(
      400,
      `Sort key supplied is invalid: ${key}. It can be one of ${Object.keys(sorts).join(', ')}.`,
    );
  }
  if (direction !== 'asc' && direction !== 'desc') {
    throw new V2Fault(
      400,
      `Invalid sort direction: ${direction}. Acceptable values are 'asc' or 'desc'.`,
    );
  }
  return { sort: { ...found, direction }, limit: limitOf(filters.get('limit')) };
}

function limitOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new V2Fault(400, `Limit must be a number from 0: ${text}`);
  return Number(text);
}

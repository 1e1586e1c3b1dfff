/** Filters, order and page of a list, kept in the address: what one sees can be sent to somebody else. */
import { useSearchParams } from 'react-router';

export interface ListQuery {
  readonly values: Readonly<Record<string, string>>;
  /** An empty value takes the filter away. Begins at the first page. */
  readonly set: (changes: Readonly<Record<string, string>>) => void;
  readonly clear: () => void;
  readonly toMarker: (marker: string | null) => void;
  readonly hasFilters: boolean;
}

const notFilters = new Set(['marker', 'sort', 'limit']);

export function useListQuery(): ListQuery {
  const [params, setParams] = useSearchParams();
  const values = Object.fromEntries(params);
  return {
    values,
    hasFilters: Object.keys(values).some((name) => !notFilters.has(name)),
    set: (changes) =>
      setParams(
        (before) => {
          const next = new URLSearchParams(before);
          next.delete('marker');
          for (const [name, value] of Object.entries(changes)) {
            if (value === '') next.delete(name);
            else next.set(name, value);
          }
          return next;
        },
        { replace: true },
      ),
    clear: () => setParams({}, { replace: true }),
    toMarker: (marker) =>
      setParams((before) => {
        const next = new URLSearchParams(before);
        if (marker === null) next.delete('marker');
        else next.set('marker', marker);
        return next;
      }),
  };
}

/** Of the values in the address those that the operation knows; others are somebody's typing. */
export function pick<Name extends string>(
  values: Readonly<Record<string, string>>,
  names: readonly Name[],
): Partial<Record<Name, string>> {
  const picked: Partial<Record<Name, string>> = {};
  for (const name of names) {
    const value = values[name];
    if (value !== undefined && value !== '') picked[name] = value;
  }
  return picked;
}

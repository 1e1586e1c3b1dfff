/** Filters above a list: each is a part of the address. */
import {
  Button,
  FormSelect,
  FormSelectOption,
  SearchInput,
  Toolbar,
  ToolbarContent,
  ToolbarItem,
} from '@patternfly/react-core';
import { useEffect, useState, type ReactElement } from 'react';

import type { ListQuery } from './list-query.ts';
import { stateWords } from './states.tsx';

export interface Filter {
  readonly name: string;
  readonly label: string;
  /** Absent: any text. */
  readonly options?: readonly string[];
}

export interface FiltersProps {
  readonly query: ListQuery;
  readonly filters: readonly Filter[];
}

export function Filters({ query, filters }: FiltersProps): ReactElement {
  return (
    <Toolbar>
      <ToolbarContent>
        {filters.map((filter) => (
          <ToolbarItem key={filter.name}>
            {filter.options === undefined ? (
              <TextFilter filter={filter} query={query} />
            ) : (
              <ChoiceFilter filter={filter} query={query} />
            )}
          </ToolbarItem>
        ))}
        {query.hasFilters && (
          <ToolbarItem>
            <Button variant="link" onClick={query.clear}>
              Clear filters
            </Button>
          </ToolbarItem>
        )}
      </ToolbarContent>
    </Toolbar>
  );
}

interface FilterProps {
  readonly filter: Filter;
  readonly query: ListQuery;
}

function ChoiceFilter({ filter: { name, label, options = [] }, query }: FilterProps): ReactElement {
  return (
    <FormSelect
      aria-label={label}
      value={query.values[name] ?? ''}
      onChange={(_event, value) => query.set({ [name]: value })}
    >
      <FormSelectOption value="" label={`Any ${label.toLowerCase()}`} />
      {options.map((option) => (
        <FormSelectOption key={option} value={option} label={stateWords(option)} />
      ))}
    </FormSelect>
  );
}

const typingMs = 350;

/** Asks when the typing pauses. */
function TextFilter({ filter: { name, label }, query }: FilterProps): ReactElement {
  const given = query.values[name] ?? '';
  const [text, setText] = useState(given);
  useEffect(() => setText(given), [given]);
  useEffect(() => {
    if (text.trim() === given) return undefined;
    const timer = setTimeout(() => query.set({ [name]: text.trim() }), typingMs);
    return () => clearTimeout(timer);
  });
  return (
    <SearchInput
      aria-label={label}
      placeholder={label}
      value={text}
      onChange={(_event, value) => setText(value)}
      onClear={() => setText('')}
    />
  );
}

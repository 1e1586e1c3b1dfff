/** A table of one page of a list. On narrow screens each row becomes a card, by PatternFly. */
import { Table, Tbody, Td, Th, Thead, Tr, type ThProps } from '@patternfly/react-table';
import type { ReactElement, ReactNode } from 'react';

export interface Column<Item> {
  readonly title: string;
  readonly cell: (item: Item) => ReactNode;
  /** What the server calls the order by this column. */
  readonly sort?: string;
  /** Text of any length; others stay on one line. */
  readonly wraps?: boolean;
}

export interface ListTableProps<Item> {
  readonly label: string;
  readonly items: readonly Item[];
  readonly columns: readonly Column<Item>[];
  readonly keyOf: (item: Item) => string;
  /** `name`, or `-name` for the other way round. */
  readonly sort?: string | undefined;
  readonly onSort?: (sort: string) => void;
  readonly isOld?: boolean;
}

export function ListTable<Item>(props: ListTableProps<Item>): ReactElement {
  const { label, items, columns, keyOf, isOld = false } = props;
  return (
    <div className="console-scroll" tabIndex={0} role="region" aria-label={`Table: ${label}`}>
      <Table
        aria-label={label}
        role="table"
        variant="compact"
        className={isOld ? 'console-table console-old' : 'console-table'}
        aria-busy={isOld}
      >
        <Thead>
          <Tr>
            {columns.map((column, at) => {
              const sort = sortOf(column, at, props);
              return (
                <Th key={column.title} modifier="nowrap" {...(sort === undefined ? {} : { sort })}>
                  {column.title}
                </Th>
              );
            })}
          </Tr>
        </Thead>
        <Tbody>
          {items.map((item) => (
            <Tr key={keyOf(item)}>
              {columns.map(({ title, cell, wraps }) => (
                <Td
                  key={title}
                  dataLabel={title}
                  modifier={wraps === true ? 'breakWord' : 'nowrap'}
                >
                  {cell(item)}
                </Td>
              ))}
            </Tr>
          ))}
        </Tbody>
      </Table>
    </div>
  );
}

function sortOf<Item>(
  { sort }: Column<Item>,
  at: number,
  { columns, sort: current = '', onSort }: ListTableProps<Item>,
): ThProps['sort'] {
  if (sort === undefined || onSort === undefined) return undefined;
  const isDescending = current.startsWith('-');
  const currentColumn = isDescending ? current.slice(1) : current;
  const index = columns.findIndex((column) => column.sort === currentColumn);
  return {
    columnIndex: at,
    sortBy: index < 0 ? {} : { index, direction: isDescending ? 'desc' : 'asc' },
    onSort: (_event, _index, direction) => onSort(direction === 'desc' ? `-${sort}` : sort),
  };
}

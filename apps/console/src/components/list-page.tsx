/** A list as a page: filters, one page of rows, the way to the next; the same for every kind of thing. */
import { PageSection } from '@patternfly/react-core';
import type { ReactElement, ReactNode } from 'react';

import type { Args, Result } from '../api/call.ts';
import type { ReadName } from '../api/nouns.ts';
import { useRead } from '../api/read.ts';
import { Filters, type Filter } from './filters.tsx';
import { pick, useListQuery, type ListQuery } from './list-query.ts';
import { ListTable, type Column } from './list-table.tsx';
import { Empty, Failure, Loading } from './outcomes.tsx';
import { PageHead } from './page-head.tsx';
import { Pager } from './pager.tsx';

/** Lists that are read page by page, with nothing in their path. */
export type ListName = Extract<
  ReadName,
  | 'listAccelerators'
  | 'listBackends'
  | 'listDrivers'
  | 'listEvents'
  | 'listGrants'
  | 'listHosts'
  | 'listInstances'
  | 'listOperations'
  | 'listProfiles'
  | 'listServices'
  | 'listUnclaimed'
>;
type ItemOf<Name extends ListName> = Result<Name>['items'][number];

export interface ListPageProps<Name extends ListName> {
  readonly name: Name;
  readonly title: string;
  readonly about: ReactNode;
  readonly columns: readonly Column<ItemOf<Name>>[];
  readonly keyOf: (item: ItemOf<Name>) => string;
  readonly filters?: readonly Filter[];
  /** Query parameters of the operation besides those of `filters`. */
  readonly known?: readonly string[];
  /** What an empty list means, and what to do. */
  readonly empty: ReactNode;
  readonly actions?: ReactNode;
}

const rowsPerPage = 50;

export function ListPage<Name extends ListName>(props: ListPageProps<Name>): ReactElement {
  const { name, title, about, filters = [], known = [], actions } = props;
  const query = useListQuery();
  const names = [...filters.map((filter) => filter.name), ...known, 'marker'];
  const given = { ...pick(query.values, names), limit: rowsPerPage };
  // Filters are parameters that the operation has: its spec and this page are read side by side.
  const reading = useRead(name, { query: given } as unknown as Args<Name>, { keeps: true });
  const { data, error, again, isOld } = reading;
  return (
    <>
      <PageHead title={title} about={about} actions={actions} />
      <PageSection isFilled>
        {filters.length > 0 && <Filters query={query} filters={filters} />}
        {error !== null && <Failure error={error} what="The list" again={again} />}
        {error === null && data === undefined && <Loading what={title} rows={10} />}
        {error === null && data !== undefined && (
          <Rows {...props} query={query} page={data} isOld={isOld} />
        )}
      </PageSection>
    </>
  );
}

interface RowsProps<Name extends ListName> extends ListPageProps<Name> {
  readonly query: ListQuery;
  readonly page: { readonly items: readonly ItemOf<Name>[]; readonly next: string | null };
  readonly isOld: boolean;
}

function Rows<Name extends ListName>(props: RowsProps<Name>): ReactElement {
  const { title, columns, keyOf, empty, query, page, isOld } = props;
  if (page.items.length === 0) {
    return query.hasFilters ? (
      <Empty title="Nothing fits">Nothing fits these filters: take one away.</Empty>
    ) : (
      <Empty title="There is nothing yet">{empty}</Empty>
    );
  }
  return (
    <>
      <ListTable
        label={title}
        items={page.items}
        columns={columns}
        keyOf={keyOf}
        sort={query.values['sort']}
        onSort={(sort) => query.set({ sort })}
        isOld={isOld}
      />
      <Pager query={query} next={page.next} count={page.items.length} />
    </>
  );
}

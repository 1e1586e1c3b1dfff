import { Progress } from '@patternfly/react-core';
import { operationKinds } from '@cyborg/model/operation-lifecycle';
import type { ReactElement } from 'react';
import { Link } from 'react-router';

import type { Result } from '../../api/call.ts';
import { Ago } from '../../components/instant.tsx';
import { ListPage } from '../../components/list-page.tsx';
import type { Column } from '../../components/list-table.tsx';
import { operationTitle } from '../../components/operation-words.ts';
import { State } from '../../components/states.tsx';

export type Operation = Result<'showOperation'>;

const states = ['queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled'];

const columns: readonly Column<Operation>[] = [
  {
    title: 'What',
    cell: ({ id, kind }) => <Link to={`/operations/${id}`}>{operationTitle(kind)}</Link>,
  },
  { title: 'State', cell: ({ state }) => <State state={state} /> },
  { title: 'Done', cell: (operation) => <HowFar operation={operation} /> },
  { title: 'Begun', cell: ({ created_at: at }) => <Ago at={at} /> },
  { title: 'By', cell: ({ user_id: user }) => user },
  { title: 'Project', cell: ({ project_id: project }) => project },
  { title: 'What went wrong', cell: ({ error }) => error ?? '', wraps: true },
];

export function HowFar({ operation }: { operation: Operation }): ReactElement {
  const { done, total } = operation.progress;
  if (total === 0) return <>{operation.finished_at === null ? 'not yet' : 'all'}</>;
  return (
    <Progress
      value={(100 * done) / total}
      label={`${done} of ${total}`}
      measureLocation="outside"
      size="sm"
      aria-label={`${done} of ${total} done`}
    />
  );
}

export function OperationsPage(): ReactElement {
  return (
    <ListPage
      name="listOperations"
      title="Operations"
      about="Long-running acts, newest first, with their progress."
      filters={[
        { name: 'state', label: 'State', options: states },
        { name: 'kind', label: 'Kind', options: operationKinds },
      ]}
      columns={columns}
      keyOf={({ id }) => id}
      empty={<>Nobody has begun one. Attaching, installing and discovering are operations.</>}
    />
  );
}

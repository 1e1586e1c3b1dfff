import { CodeBlock, CodeBlockCode } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';
import { useParams } from 'react-router';

import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { Facts, Id } from '../../components/facts.tsx';
import { Ago } from '../../components/instant.tsx';
import { ListTable, type Column } from '../../components/list-table.tsx';
import { operationTitle } from '../../components/operation-words.ts';
import { Empty } from '../../components/outcomes.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { State } from '../../components/states.tsx';
import { Notice, Panel, Panels, ThingPage } from '../../components/thing-page.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { HowFar, type Operation } from './operations-page.tsx';

const parent = { title: 'Operations', to: '/operations' };
const ended = new Set(['succeeded', 'failed', 'cancelled']);

export function OperationPage(): ReactElement {
  const { id = '' } = useParams();
  const { say } = useToasts();
  const reading = useRead('showOperation', { params: { id } });
  const [isCancelling, setIsCancelling] = useState(false);
  return (
    <ThingPage reading={reading} what="operation" title="Operation" parent={parent}>
      {(operation) => (
        <>
          <PageHead
            title={operationTitle(operation.kind)}
            parent={parent}
            actions={<Cancel operation={operation} onClick={() => setIsCancelling(true)} />}
          />
          <Known operation={operation} />
          {isCancelling && (
            <ActDialog
              name="cancelOperation"
              title="Cancel the operation"
              verb="Cancel it"
              isDangerous
              args={{ params: { id } }}
              close={() => setIsCancelling(false)}
              onDone={() => say('Told to stop: what has begun is undone.')}
            />
          )}
        </>
      )}
    </ThingPage>
  );
}

interface CancelProps {
  readonly operation: Operation;
  readonly onClick: () => void;
}

function Cancel({ operation: { state }, onClick }: CancelProps): ReactElement {
  return (
    <ActButton
      action="operation:cancel"
      obstacle={ended.has(state) ? `It has ${state} already.` : undefined}
      onClick={onClick}
    >
      Cancel it
    </ActButton>
  );
}

type OneResult = Operation['results'][number];

const columns: readonly Column<OneResult>[] = [
  { title: 'Host', cell: ({ host }) => host ?? '' },
  { title: 'Subject', cell: ({ subject }) => subject },
  { title: 'Outcome', cell: ({ outcome }) => <State state={outcome} /> },
  { title: 'Message', cell: ({ message }) => message ?? '', wraps: true },
];

function Known({ operation }: { operation: Operation }): ReactElement {
  return (
    <Panels>
      {operation.error !== null && (
        <Notice isGrave title="What went wrong">
          {operation.error}
        </Notice>
      )}
      <Panel title="How far" width="half">
        <Facts facts={factsOf(operation)} />
      </Panel>
      <Panel title="About" width="half">
        <CodeBlock>
          <CodeBlockCode>{JSON.stringify(operation.subject, null, 2)}</CodeBlockCode>
        </CodeBlock>
      </Panel>
      <Panel title="Results">
        {operation.results.length === 0 ? (
          <Empty title="None yet">Each host's answer is shown here.</Empty>
        ) : (
          <ListTable
            label="Results"
            items={operation.results}
            columns={columns}
            keyOf={({ host, subject }) => `${host} ${subject}`}
          />
        )}
      </Panel>
    </Panels>
  );
}

function factsOf(it: Operation): [string, ReactElement | string | null][] {
  return [
    ['State', <State key="state" state={it.state} />],
    ['Done', <HowFar key="far" operation={it} />],
    ['Begun', <Ago key="created" at={it.created_at} />],
    ['Ended', it.finished_at === null ? null : <Ago key="ended" at={it.finished_at} />],
    ['By', it.user_id],
    ['Project', it.project_id],
    ['Id', <Id key="id" id={it.id} />],
  ];
}

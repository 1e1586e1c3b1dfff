import {
  Alert,
  Card,
  CardBody,
  CardTitle,
  CodeBlock,
  CodeBlockCode,
  Grid,
  GridItem,
  PageSection,
} from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';
import { useParams } from 'react-router';

import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { Facts, Id } from '../../components/facts.tsx';
import { Ago } from '../../components/instant.tsx';
import { ListTable, type Column } from '../../components/list-table.tsx';
import { operationTitle } from '../../components/operation-words.ts';
import { Empty, Failure, Loading } from '../../components/outcomes.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { State } from '../../components/states.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { HowFar, type Operation } from './operations-page.tsx';

const parent = { title: 'Operations', to: '/operations' };
const ended = new Set(['succeeded', 'failed', 'cancelled']);

export function OperationPage(): ReactElement {
  const { id = '' } = useParams();
  const { say } = useToasts();
  const { data, error, again } = useRead('showOperation', { params: { id } });
  const [isCancelling, setIsCancelling] = useState(false);
  if (error !== null || data === undefined) {
    return (
      <>
        <PageHead title="Operation" parent={parent} />
        <PageSection isFilled>
          {error === null ? (
            <Loading what="the operation" />
          ) : (
            <Failure error={error} what="operation" again={again} />
          )}
        </PageSection>
      </>
    );
  }
  return (
    <>
      <PageHead
        title={operationTitle(data.kind)}
        parent={parent}
        actions={
          <ActButton
            action="operation:cancel"
            obstacle={ended.has(data.state) ? `It has ${data.state} already.` : undefined}
            onClick={() => setIsCancelling(true)}
          >
            Cancel it
          </ActButton>
        }
      />
      <PageSection isFilled>
        <Known operation={data} />
      </PageSection>
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
    <Grid hasGutter>
      {operation.error !== null && (
        <GridItem span={12}>
          <Alert isInline variant="danger" title="What went wrong">
            {operation.error}
          </Alert>
        </GridItem>
      )}
      <GridItem span={12} xl={6}>
        <Card isFullHeight>
          <CardTitle component="h2">How far</CardTitle>
          <CardBody>
            <Facts facts={factsOf(operation)} />
          </CardBody>
        </Card>
      </GridItem>
      <GridItem span={12} xl={6}>
        <Card isFullHeight>
          <CardTitle component="h2">About</CardTitle>
          <CardBody>
            <CodeBlock>
              <CodeBlockCode>{JSON.stringify(operation.subject, null, 2)}</CodeBlockCode>
            </CodeBlock>
          </CardBody>
        </Card>
      </GridItem>
      <GridItem span={12}>
        <Card>
          <CardTitle component="h2">Results</CardTitle>
          <CardBody>
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
          </CardBody>
        </Card>
      </GridItem>
    </Grid>
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

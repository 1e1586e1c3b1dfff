import { Card, CardBody, CardTitle, Grid, GridItem, PageSection } from '@patternfly/react-core';
import type { ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { useRead } from '../../api/read.ts';
import { Failure, Loading } from '../../components/outcomes.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { usePermission } from '../../session/who.ts';
import { Attention } from './attention.tsx';
import { Capacity } from './capacity.tsx';
import { Lately } from './lately.tsx';

export type Summary = Result<'showSummary'>;

export function OverviewPage(): ReactElement {
  const summary = useRead('showSummary', {});
  return (
    <>
      <PageHead
        title="Overview"
        about="The accelerators that you may see, and what became of them."
      />
      <PageSection isFilled>
        {summary.error !== null && summary.data === undefined ? (
          <Failure error={summary.error} what="The overview" again={summary.again} />
        ) : (
          <Panels summary={summary.data} />
        )}
      </PageSection>
    </>
  );
}

function Panels({ summary }: { summary: Summary | undefined }): ReactElement {
  return (
    <Grid hasGutter>
      <GridItem span={12}>
        {summary === undefined ? (
          <Loading what="the figures" rows={1} />
        ) : (
          <Figures summary={summary} />
        )}
      </GridItem>
      <GridItem span={12} xl={8}>
        <Card isFullHeight>
          <CardTitle component="h2">Capacity by type</CardTitle>
          <CardBody>
            {summary === undefined ? (
              <Loading what="capacity" />
            ) : (
              <Capacity rows={summary.accelerators} />
            )}
          </CardBody>
        </Card>
      </GridItem>
      <GridItem span={12} xl={4}>
        <Card isFullHeight>
          <CardTitle component="h2">Needs a person</CardTitle>
          <CardBody>
            {summary === undefined ? (
              <Loading what="troubles" />
            ) : (
              <Attention troubles={summary.attention} />
            )}
          </CardBody>
        </Card>
      </GridItem>
      <GridItem span={12}>
        <Card>
          <CardTitle component="h2">Lately</CardTitle>
          <CardBody>
            <Lately />
          </CardBody>
        </Card>
      </GridItem>
    </Grid>
  );
}

function Figures({ summary }: { summary: Summary }): ReactElement {
  const { accelerators, hosts, instances_total: instances } = summary;
  const seesHosts = usePermission('host:list').isAllowed;
  const total = (state?: string): number =>
    accelerators
      .filter((row) => state === undefined || row.state === state)
      .reduce((sum, { count }) => sum + count, 0);
  const figures: [string, string][] = [
    ['Accelerators', String(total())],
    ['Available', String(total('available'))],
    ['Attached', String(total('attached'))],
    ...(seesHosts
      ? [['Hosts up', `${hosts.up} of ${hosts.up + hosts.down}`] as [string, string]]
      : []),
    ['Instances', String(instances)],
  ];
  return (
    <dl className="console-figures">
      {figures.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

import {
  Alert,
  Card,
  CardBody,
  CardTitle,
  Grid,
  GridItem,
  PageSection,
} from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';
import { Link, useParams } from 'react-router';

import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { DiscoverDialog } from '../../components/discover-dialog.tsx';
import { Facts, Id, Words } from '../../components/facts.tsx';
import { Ago } from '../../components/instant.tsx';
import { Failure, Loading } from '../../components/outcomes.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { State } from '../../components/states.tsx';
import { HostInside } from './host-inside.tsx';
import { HostStatusDialog } from './host-status-dialog.tsx';
import type { Host } from './hosts-page.tsx';

const parent = { title: 'Hosts', to: '/hosts' };

type DialogKind = 'status' | 'discover';

export function HostPage(): ReactElement {
  const { host: name = '' } = useParams();
  const { data: host, etag, error, again } = useRead('showHost', { params: { host: name } });
  const [dialog, setDialog] = useState<DialogKind>();
  const close = (): void => setDialog(undefined);
  if (error !== null || host === undefined) {
    return (
      <>
        <PageHead title={name} parent={parent} />
        <PageSection isFilled>
          {error === null ? (
            <Loading what="the host" />
          ) : (
            <Failure error={error} what="host" again={again} />
          )}
        </PageSection>
      </>
    );
  }
  return (
    <>
      <PageHead title={host.name} parent={parent} actions={<Acts host={host} open={setDialog} />} />
      <PageSection isFilled>
        <Known host={host} />
      </PageSection>
      {dialog === 'status' && <HostStatusDialog host={host} etag={etag} close={close} />}
      {dialog === 'discover' && <DiscoverDialog host={host.name} close={close} />}
    </>
  );
}

function Acts({ host, open }: { host: Host; open: (kind: DialogKind) => void }): ReactElement {
  return (
    <div className="console-acts">
      <ActButton
        action="discovery:create"
        variant="primary"
        obstacle={host.state === 'up' ? undefined : 'The host is down: its agent cannot look.'}
        onClick={() => open('discover')}
      >
        Discover now
      </ActButton>
      <ActButton action="host:update" onClick={() => open('status')}>
        {host.status === 'enabled' ? 'Disable' : 'Enable'}
      </ActButton>
    </div>
  );
}

function Known({ host }: { host: Host }): ReactElement {
  return (
    <Grid hasGutter>
      {host.conditions.map(({ kind, message, blocks_attaching: blocks }) => (
        <GridItem key={kind} span={12}>
          <Alert isInline variant={blocks ? 'danger' : 'warning'} title={message}>
            {blocks && 'Nothing is attached here while this lasts.'}
          </Alert>
        </GridItem>
      ))}
      <GridItem span={12}>
        <Card>
          <CardTitle component="h2">Inside</CardTitle>
          <CardBody>
            <HostInside host={host.name} />
          </CardBody>
        </Card>
      </GridItem>
      <GridItem span={12}>
        <Card>
          <CardTitle component="h2">What it is</CardTitle>
          <CardBody>
            <Facts facts={factsOf(host)} />
          </CardBody>
        </Card>
      </GridItem>
    </Grid>
  );
}

function factsOf(host: Host): [string, ReactElement | string | null][] {
  const labels = Object.entries(host.labels).map(([name, value]) => `${name}=${value}`);
  const at = encodeURIComponent(host.name);
  return [
    ['State', <State key="state" state={host.state} />],
    ['Status', <State key="status" state={host.status} />],
    ['Why', host.status_reason],
    ['Lists', <Lists key="lists" at={at} />],
    ['Node name', host.node_name],
    ["Nova's service host", host.service_host],
    ['Agent', host.agent_version],
    ...host.hypervisors.map(({ hypervisor, healthy, reason }): [string, ReactElement] => [
      `Hypervisor ${hypervisor}`,
      <span key={hypervisor}>
        <State state={healthy ? 'healthy' : 'failed'} /> {reason}
      </span>,
    ]),
    ['Labels', <Words key="labels" words={labels} what="Labels" />],
    ...Object.entries(host.facts).map(([name, value]): [string, string] => [name, value]),
    ['Simulated', host.simulated ? 'yes' : null],
    ['Enrolled', <Ago key="created" at={host.created_at} />],
    ['Id', <Id key="id" id={host.id} />],
  ];
}

function Lists({ at }: { at: string }): ReactElement {
  return (
    <>
      <Link to={`/accelerators?host=${at}`}>accelerators</Link>,{' '}
      <Link to={`/backends?host=${at}`}>backends</Link>,{' '}
      <Link to={`/instances?host=${at}`}>instances</Link>
    </>
  );
}

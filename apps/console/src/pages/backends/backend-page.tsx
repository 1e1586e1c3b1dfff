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
import { Link, useParams } from 'react-router';

import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { DiscoverDialog } from '../../components/discover-dialog.tsx';
import { EventsOf } from '../../components/events-of.tsx';
import { Facts, Id } from '../../components/facts.tsx';
import { Ago } from '../../components/instant.tsx';
import { HostLink } from '../../components/links.tsx';
import { Failure, Loading } from '../../components/outcomes.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { State } from '../../components/states.tsx';
import { useToasts } from '../../components/toasts.tsx';
import type { Backend } from './backends-page.tsx';

const parent = { title: 'Backends', to: '/backends' };

export function BackendPage(): ReactElement {
  const { backend: name = '' } = useParams();
  const { data, etag, error, again } = useRead('showBackend', { params: { backend: name } });
  const [dialog, setDialog] = useState<'status' | 'discover'>();
  const close = (): void => setDialog(undefined);
  if (error !== null || data === undefined) {
    return (
      <>
        <PageHead title={name} parent={parent} />
        <PageSection isFilled>
          {error === null ? (
            <Loading what="the backend" />
          ) : (
            <Failure error={error} what="backend" again={again} />
          )}
        </PageSection>
      </>
    );
  }
  const whole = `${data.host}@${data.name}`;
  return (
    <>
      <PageHead
        title={whole}
        parent={parent}
        actions={
          <div className="console-acts">
            <ActButton
              action="discovery:create"
              variant="primary"
              onClick={() => setDialog('discover')}
            >
              Discover now
            </ActButton>
            <ActButton action="backend:update" onClick={() => setDialog('status')}>
              {data.status === 'enabled' ? 'Disable' : 'Enable'}
            </ActButton>
          </div>
        }
      />
      <PageSection isFilled>
        <Known backend={data} />
      </PageSection>
      {dialog === 'discover' && <DiscoverDialog backend={whole} close={close} />}
      {dialog === 'status' && <StatusDialog backend={data} etag={etag} close={close} />}
    </>
  );
}

interface StatusDialogProps {
  readonly backend: Backend;
  readonly etag: string | undefined;
  readonly close: () => void;
}

function StatusDialog({ backend, etag, close }: StatusDialogProps): ReactElement {
  const { say } = useToasts();
  const isDisabling = backend.status === 'enabled';
  const verb = isDisabling ? 'Disable' : 'Enable';
  return (
    <ActDialog
      name="updateBackend"
      title={`${verb} ${backend.host}@${backend.name}`}
      verb={verb}
      isDangerous={isDisabling}
      args={{
        params: { backend: backend.id },
        body: { status: isDisabling ? 'disabled' : 'enabled' },
      }}
      ifMatch={etag}
      close={close}
      onDone={({ status }) => say(`${backend.name} is ${status} now.`)}
    >
      {isDisabling && <p>What is attached stays attached; nothing new is given out from here.</p>}
    </ActDialog>
  );
}

function Known({ backend }: { backend: Backend }): ReactElement {
  return (
    <Grid hasGutter>
      {backend.reason !== null && (
        <GridItem span={12}>
          <Alert isInline variant="warning" title={`Why it is ${backend.state}`}>
            {backend.reason}
          </Alert>
        </GridItem>
      )}
      <GridItem span={12} xl={7}>
        <Card isFullHeight>
          <CardTitle component="h2">What it is</CardTitle>
          <CardBody>
            <Facts facts={factsOf(backend)} />
          </CardBody>
        </Card>
      </GridItem>
      <GridItem span={12} xl={5}>
        <Card isFullHeight>
          <CardTitle component="h2">Configuration</CardTitle>
          <CardBody>
            <CodeBlock>
              <CodeBlockCode>{JSON.stringify(backend.config, null, 2)}</CodeBlockCode>
            </CodeBlock>
          </CardBody>
        </Card>
      </GridItem>
      <GridItem span={12}>
        <Card>
          <CardTitle component="h2">What became of it</CardTitle>
          <CardBody>
            <EventsOf subjectId={backend.id} />
          </CardBody>
        </Card>
      </GridItem>
    </Grid>
  );
}

function factsOf(it: Backend): [string, ReactElement | string | null][] {
  const list = `/accelerators?backend=${encodeURIComponent(`${it.host}@${it.name}`)}`;
  return [
    ['State', <State key="state" state={it.state} />],
    ['Status', <State key="status" state={it.status} />],
    ['Stale since', it.stale_since === null ? null : <Ago key="stale" at={it.stale_since} />],
    ['Host', <HostLink key="host" host={it.host} />],
    [
      'Driver',
      <Link
        key="driver"
        to={`/drivers/${it.driver_id}`}
      >{`${it.driver_id} ${it.version ?? ''}`}</Link>,
    ],
    ['Kind', it.kind],
    [
      'Accelerators',
      <Link
        key="list"
        to={list}
      >{`${it.accelerators_free} free of ${it.accelerators_total}`}</Link>,
    ],
    [
      'Inventory changed',
      it.inventory_changed_at === null ? 'never' : <Ago key="at" at={it.inventory_changed_at} />,
    ],
    ['Installed', <Ago key="created" at={it.created_at} />],
    ['Simulated', it.simulated ? 'yes' : null],
    ['Id', <Id key="id" id={it.id} />],
  ];
}

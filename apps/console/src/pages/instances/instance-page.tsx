import { Card, CardBody, CardTitle, Grid, GridItem, PageSection } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';
import { useParams } from 'react-router';

import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { EventsOf } from '../../components/events-of.tsx';
import { Facts, Id, Words } from '../../components/facts.tsx';
import { Ago } from '../../components/instant.tsx';
import { HostLink } from '../../components/links.tsx';
import { Failure, Loading } from '../../components/outcomes.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { State } from '../../components/states.tsx';
import { AttachToDialog } from './attach-to-dialog.tsx';
import { DetachFromDialog } from './detach-from-dialog.tsx';
import { Holdings } from './holdings.tsx';
import type { Instance } from './instances-page.tsx';
import { ProjectDialog } from './project-dialog.tsx';

const parent = { title: 'Instances', to: '/instances' };

type DialogKind = 'attach' | 'detach-all' | 'project';

export function InstancePage(): ReactElement {
  const { id = '' } = useParams();
  const reading = useRead('showInstance', { params: { instance_id: id } });
  const { data: instance, etag, error, again } = reading;
  const [dialog, setDialog] = useState<DialogKind>();
  const close = (): void => setDialog(undefined);
  if (error !== null || instance === undefined) {
    return (
      <>
        <PageHead title="Instance" parent={parent} />
        <PageSection isFilled>
          {error === null ? (
            <Loading what="the instance" />
          ) : (
            <Failure error={error} what="instance" again={again} />
          )}
        </PageSection>
      </>
    );
  }
  return (
    <>
      <PageHead
        title={instance.name}
        parent={parent}
        actions={<Acts instance={instance} open={setDialog} />}
      />
      <PageSection isFilled>
        <Known instance={instance} />
      </PageSection>
      {dialog === 'attach' && <AttachToDialog instance={instance} close={close} />}
      {dialog === 'detach-all' && <DetachFromDialog instance={instance} close={close} />}
      {dialog === 'project' && <ProjectDialog instance={instance} etag={etag} close={close} />}
    </>
  );
}

interface ActsProps {
  readonly instance: Instance;
  readonly open: (kind: DialogKind) => void;
}

function Acts({ instance, open }: ActsProps): ReactElement {
  const holdsNothing = instance.attachments_total === 0 ? 'It holds nothing.' : undefined;
  const isNovas = instance.project_source === 'nova' ? 'Nova says whose it is.' : undefined;
  return (
    <div className="console-acts">
      <ActButton action="attachment:create" variant="primary" onClick={() => open('attach')}>
        Attach
      </ActButton>
      <ActButton
        action="attachment:delete"
        obstacle={holdsNothing}
        onClick={() => open('detach-all')}
      >
        Detach all
      </ActButton>
      <ActButton action="instance:update" obstacle={isNovas} onClick={() => open('project')}>
        Set project
      </ActButton>
    </div>
  );
}

function Known({ instance }: { instance: Instance }): ReactElement {
  return (
    <Grid hasGutter>
      <GridItem span={12}>
        <Card>
          <CardTitle component="h2">What it holds</CardTitle>
          <CardBody>
            <Holdings instance={instance} />
          </CardBody>
        </Card>
      </GridItem>
      <GridItem span={12}>
        <Card>
          <CardTitle component="h2">What it is</CardTitle>
          <CardBody>
            <Facts facts={factsOf(instance)} />
          </CardBody>
        </Card>
      </GridItem>
      <GridItem span={12}>
        <Card>
          <CardTitle component="h2">What became of it</CardTitle>
          <CardBody>
            <EventsOf subjectId={instance.id} />
          </CardBody>
        </Card>
      </GridItem>
    </Grid>
  );
}

function factsOf(it: Instance): [string, ReactElement | string | null][] {
  return [
    ['State', <State key="state" state={it.state} />],
    ['Seen', <State key="presence" state={it.presence} />],
    ['Host', <HostLink key="host" host={it.host} />],
    ['Hypervisor', it.hypervisor],
    ['Project', it.project_id ?? 'not known: only admins see this instance'],
    ['Who says so', it.project_source],
    ['It can be given', <Words key="plugs" words={it.plugs} what="Ways to attach" />],
    ['NUMA nodes', it.numa_nodes.length === 0 ? null : it.numa_nodes.join(', ')],
    ['First seen', <Ago key="created" at={it.created_at} />],
    ['Simulated', it.simulated ? 'yes' : null],
    ['Id', <Id key="id" id={it.id} />],
  ];
}

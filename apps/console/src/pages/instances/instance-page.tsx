import { useState, type ReactElement } from 'react';
import { useParams } from 'react-router';

import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { EventsOf } from '../../components/events-of.tsx';
import { Facts, Id, Words } from '../../components/facts.tsx';
import { Ago } from '../../components/instant.tsx';
import { HostLink } from '../../components/links.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { State } from '../../components/states.tsx';
import { Panel, Panels, ThingPage } from '../../components/thing-page.tsx';
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
  const [dialog, setDialog] = useState<DialogKind>();
  const close = (): void => setDialog(undefined);
  return (
    <ThingPage reading={reading} what="instance" title="Instance" parent={parent}>
      {(instance) => (
        <>
          <PageHead
            title={instance.name}
            parent={parent}
            actions={<Acts instance={instance} open={setDialog} />}
          />
          <Known instance={instance} />
          {dialog === 'attach' && <AttachToDialog instance={instance} close={close} />}
          {dialog === 'detach-all' && <DetachFromDialog instance={instance} close={close} />}
          {dialog === 'project' && (
            <ProjectDialog instance={instance} etag={reading.etag} close={close} />
          )}
        </>
      )}
    </ThingPage>
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
    <Panels>
      <Panel title="What it holds">
        <Holdings instance={instance} />
      </Panel>
      <Panel title="What it is">
        <Facts facts={factsOf(instance)} />
      </Panel>
      <Panel title="What became of it">
        <EventsOf subjectId={instance.id} />
      </Panel>
    </Panels>
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

import { useState, type ReactElement } from 'react';
import { Link, useParams } from 'react-router';

import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { BackendsThere } from '../../components/backends-there.tsx';
import { DiscoverDialog } from '../../components/discover-dialog.tsx';
import { EventsOf } from '../../components/events-of.tsx';
import { Facts, Id, Words } from '../../components/facts.tsx';
import { Ago } from '../../components/instant.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { State } from '../../components/states.tsx';
import { Panel, Panels, ThingPage } from '../../components/thing-page.tsx';
import { ReenrollDialog, RevokeDialog } from './credential-dialog.tsx';
import { DeleteHostDialog } from './delete-host-dialog.tsx';
import { HostInside } from './host-inside.tsx';
import { HostTroubles } from './host-troubles.tsx';
import { HostStatusDialog } from './host-status-dialog.tsx';
import type { Host } from './hosts-page.tsx';
import { JoinTokenShown, type JoinToken } from './join-token-shown.tsx';

const parent = { title: 'Hosts', to: '/hosts' };

type DialogKind = 'status' | 'discover' | 'revoke' | 'reenroll' | 'delete';

export function HostPage(): ReactElement {
  const { host: name = '' } = useParams();
  const reading = useRead('showHost', { params: { host: name } });
  const [dialog, setDialog] = useState<DialogKind>();
  const [token, setToken] = useState<JoinToken>();
  const close = (): void => setDialog(undefined);
  return (
    <ThingPage reading={reading} what="host" title={name} parent={parent}>
      {(host) => (
        <>
          <PageHead
            title={host.name}
            parent={parent}
            actions={<Acts host={host} open={setDialog} />}
          />
          <Known host={host} />
          {dialog === 'status' && (
            <HostStatusDialog host={host} etag={reading.etag} close={close} />
          )}
          {dialog === 'discover' && <DiscoverDialog host={host.name} close={close} />}
          {dialog === 'revoke' && <RevokeDialog host={host} close={close} />}
          {dialog === 'delete' && (
            <DeleteHostDialog host={host} etag={reading.etag} close={close} />
          )}
          {dialog === 'reenroll' && <ReenrollDialog host={host} close={close} onDone={setToken} />}
          {token !== undefined && (
            <JoinTokenShown token={token} close={() => setToken(undefined)} />
          )}
        </>
      )}
    </ThingPage>
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
      <ActButton action="host:enroll" onClick={() => open('reenroll')}>
        Enrol again
      </ActButton>
      <ActButton action="host:revoke" variant="danger" onClick={() => open('revoke')}>
        Revoke
      </ActButton>
      <ActButton
        action="host:delete"
        variant="danger"
        obstacle={host.state === 'up' ? 'The host is up: stop its agent, or revoke it.' : undefined}
        onClick={() => open('delete')}
      >
        Delete
      </ActButton>
    </div>
  );
}

function Known({ host }: { host: Host }): ReactElement {
  return (
    <Panels>
      <HostTroubles host={host} />
      <Panel title="Inside">
        <HostInside host={host.name} />
      </Panel>
      <BackendsThere title="Its backends" query={{ host: host.name }} />
      <Panel title="What it is">
        <Facts facts={factsOf(host)} />
      </Panel>
      <Panel title="What became of it">
        <EventsOf subjectId={host.id} />
      </Panel>
    </Panels>
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

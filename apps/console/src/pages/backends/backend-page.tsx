import { CodeBlock, CodeBlockCode } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';
import { Link, useParams } from 'react-router';

import type { Result } from '../../api/call.ts';
import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { freeOf } from '../../components/counts.ts';
import { DiscoverDialog } from '../../components/discover-dialog.tsx';
import { EventsOf } from '../../components/events-of.tsx';
import { Facts, Id } from '../../components/facts.tsx';
import { Ago } from '../../components/instant.tsx';
import { HostLink } from '../../components/links.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { troubleOfBackend } from '../../components/remedies.ts';
import { State } from '../../components/states.tsx';
import { Notice, Panel, Panels, ThingPage } from '../../components/thing-page.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { DriverLog } from './driver-log.tsx';

export type Backend = Result<'showBackend'>;

const parent = { title: 'Backends', to: '/backends' };

type DialogKind = 'status' | 'discover' | 'restart';

export function BackendPage(): ReactElement {
  const { backend: name = '' } = useParams();
  const reading = useRead('showBackend', { params: { backend: name } });
  const [dialog, setDialog] = useState<DialogKind>();
  const close = (): void => setDialog(undefined);
  return (
    <ThingPage reading={reading} what="backend" title={name} parent={parent}>
      {(backend) => (
        <>
          <PageHead
            title={wholeName(backend)}
            parent={parent}
            actions={<Acts backend={backend} open={setDialog} />}
          />
          <Known backend={backend} again={reading.again} />
          {dialog === 'discover' && <DiscoverDialog backend={wholeName(backend)} close={close} />}
          {dialog === 'restart' && (
            <RestartDialog backend={backend} etag={reading.etag} close={close} />
          )}
          {dialog === 'status' && (
            <StatusDialog backend={backend} etag={reading.etag} close={close} />
          )}
        </>
      )}
    </ThingPage>
  );
}

function wholeName({ host, name }: Backend): string {
  return `${host}@${name}`;
}

interface ActsProps {
  readonly backend: Backend;
  readonly open: (kind: DialogKind) => void;
}

function Acts({ backend, open }: ActsProps): ReactElement {
  return (
    <div className="console-acts">
      <ActButton action="discovery:create" variant="primary" onClick={() => open('discover')}>
        Discover now
      </ActButton>
      <ActButton action="backend:update" onClick={() => open('status')}>
        {backend.status === 'enabled' ? 'Disable' : 'Enable'}
      </ActButton>
      <ActButton action="backend:restart" onClick={() => open('restart')}>
        Restart
      </ActButton>
    </div>
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
      title={`${verb} ${wholeName(backend)}`}
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

function RestartDialog({ backend, etag, close }: StatusDialogProps): ReactElement {
  const { follow } = useToasts();
  return (
    <ActDialog
      name="restartBackend"
      title={`Restart the driver of ${wholeName(backend)}`}
      verb="Restart"
      args={{ params: { backend: backend.id } }}
      ifMatch={etag}
      close={close}
      onDone={({ id }) => follow(id)}
    >
      <p>
        One process serves all backends of {backend.driver_id} on {backend.host}: all of them are
        started anew. What is attached stays attached.
      </p>
    </ActDialog>
  );
}

interface KnownProps {
  readonly backend: Backend;
  readonly again: () => void;
}

function Known({ backend, again }: KnownProps): ReactElement {
  return (
    <Panels>
      <WhatToDo backend={backend} />
      <Panel title="What it is" width="wide">
        <Facts facts={factsOf(backend)} />
      </Panel>
      <Panel title="Configuration" width="narrow">
        <CodeBlock>
          <CodeBlockCode>{JSON.stringify(backend.config, null, 2)}</CodeBlockCode>
        </CodeBlock>
      </Panel>
      <Panel title="What its driver says">
        <DriverLog log={backend.log} again={again} />
      </Panel>
      <Panel title="What became of it">
        <EventsOf subjectId={backend.id} />
      </Panel>
    </Panels>
  );
}

/** Lines of its log that are said again above everything, where it does not work. */
const lastWords = 5;

function WhatToDo({ backend }: { backend: Backend }): ReactElement | null {
  const { state, reason, quarantined_since: quarantinedSince, log } = backend;
  const trouble = troubleOfBackend(backend);
  if (trouble === undefined) {
    return reason === null ? null : <Notice title={`Why it is ${state}`}>{reason}</Notice>;
  }
  const { title, remedy, isGrave } = trouble;
  return (
    <Notice isGrave={isGrave} title={title}>
      {reason !== null && <p>{reason}</p>}
      <p>
        {remedy}
        {quarantinedSince !== null && (
          <>
            {' '}
            (since <Ago at={quarantinedSince} />)
          </>
        )}
      </p>
      {isGrave && log.length > 0 && (
        <CodeBlock aria-label="Its last words">
          <CodeBlockCode>
            {log
              .slice(-lastWords)
              .map(({ level, message }) => `${level}: ${message}`)
              .join('\n')}
          </CodeBlockCode>
        </CodeBlock>
      )}
    </Notice>
  );
}

function factsOf(it: Backend): [string, ReactElement | string | null][] {
  const list = `/accelerators?backend=${encodeURIComponent(wholeName(it))}`;
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
    ['Accelerators', <Link key="list" to={list}>{`Free: ${freeOf(it)}`}</Link>],
    [
      'Inventory changed',
      it.inventory_changed_at === null ? 'never' : <Ago key="at" at={it.inventory_changed_at} />,
    ],
    ['Installed', <Ago key="created" at={it.created_at} />],
    ['Simulated', it.simulated ? 'yes' : null],
    ['Id', <Id key="id" id={it.id} />],
  ];
}

import { useState, type ReactElement } from 'react';
import { useParams } from 'react-router';

import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { BackendsThere } from '../../components/backends-there.tsx';
import { ListTable, type Column } from '../../components/list-table.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { Panel, Panels, ThingPage } from '../../components/thing-page.tsx';
import { usePermission } from '../../session/who.ts';
import { ConformancePanel } from './conformance-panel.tsx';
import { keysOf } from './config-field.tsx';
import {
  ConfigureDialog,
  RolloutDialog,
  UninstallDialog,
  UpdateDialog,
  type RolloutAct,
  type WantedBackend,
} from './deployment-dialog.tsx';
import { DeploymentPanel } from './deployment-panel.tsx';
import type { Driver } from './drivers-page.tsx';
import { InstallDialog } from './install-dialog.tsx';
import { needsInWords } from './needs-words.ts';
import { VersionsPanel } from './versions-panel.tsx';

const parent = { title: 'Drivers', to: '/drivers' };

type DialogKind = 'install' | 'update' | 'uninstall' | RolloutAct | WantedBackend;

export function DriverPage(): ReactElement {
  const { driver: id = '' } = useParams();
  const reading = useRead('showDriver', { params: { driver_id: id } });
  return (
    <ThingPage reading={reading} what="driver" title={id} parent={parent}>
      {(driver) => <Known driver={driver} />}
    </ThingPage>
  );
}

function Known({ driver }: { driver: Driver }): ReactElement {
  const mayShow = usePermission('deployment:show').isAllowed;
  const params = { driver_id: driver.id };
  const reading = useRead('showDeployment', { params }, { enabled: mayShow });
  const [dialog, setDialog] = useState<DialogKind>();
  const close = (): void => setDialog(undefined);
  const deployment = reading.error === null ? reading.data : undefined;
  const given = deployment && { driver, deployment, etag: reading.etag, close };
  return (
    <>
      <PageHead
        title={driver.id}
        about={driver.title}
        parent={parent}
        actions={<Acts driver={driver} isInstalled={given !== undefined} open={setDialog} />}
      />
      <Panels>
        <DeploymentPanel
          mayShow={mayShow}
          reading={reading}
          onAct={setDialog}
          onConfigure={setDialog}
        />
        <BackendsThere title="Its backends on hosts" query={{ driver_id: driver.id }} />
        <VersionsPanel driver={driver} />
        <ConformancePanel driver={driver} />
        <Panel title="What it can serve">
          <ListTable
            label="Kinds of backend"
            items={driver.kinds}
            columns={kindColumnsOf(driver)}
            keyOf={({ kind }) => kind}
          />
        </Panel>
      </Panels>
      {dialog === 'install' && <InstallDialog driver={driver} close={close} />}
      {given !== undefined && dialog !== undefined && <Dialog dialog={dialog} {...given} />}
    </>
  );
}

type Given = Parameters<typeof UpdateDialog>[0];

function Dialog({ dialog, ...given }: Given & { dialog: DialogKind }): ReactElement | null {
  if (typeof dialog === 'object') return <ConfigureDialog backend={dialog} {...given} />;
  switch (dialog) {
    case 'install':
      return null;
    case 'update':
      return <UpdateDialog {...given} />;
    case 'uninstall':
      return <UninstallDialog {...given} />;
    case 'pause':
    case 'resume':
    case 'rollback':
      return <RolloutDialog act={dialog} {...given} />;
    default:
      return dialog;
  }
}

interface ActsProps {
  readonly driver: Driver;
  readonly isInstalled: boolean;
  readonly open: (kind: DialogKind) => void;
}

function Acts({ driver, isInstalled, open }: ActsProps): ReactElement {
  const notInstalled = isInstalled ? undefined : 'It is not installed.';
  return (
    <div className="console-acts">
      <ActButton
        action="deployment:install"
        variant="primary"
        obstacle={driver.version === null ? 'No version is approved.' : undefined}
        onClick={() => open('install')}
      >
        Install
      </ActButton>
      <ActButton action="deployment:update" obstacle={notInstalled} onClick={() => open('update')}>
        Update
      </ActButton>
      <ActButton
        action="deployment:uninstall"
        variant="danger"
        obstacle={notInstalled}
        onClick={() => open('uninstall')}
      >
        Uninstall
      </ActButton>
    </div>
  );
}

function kindColumnsOf({ needs }: Driver): readonly Column<Driver['kinds'][number]>[] {
  return [
    { title: 'Kind', cell: ({ kind }) => kind },
    { title: 'Title', cell: ({ title }) => title, wraps: true },
    { title: 'Configuration', cell: (kind) => keysOf(kind).join(', '), wraps: true },
    {
      title: 'A host must have',
      cell: (kind) => needsInWords(needs, kind.needs).join('; ') || 'nothing',
      wraps: true,
    },
    {
      title: 'Managers may set',
      cell: ({ delegable }) => delegable.join(', ') || 'nothing',
      wraps: true,
    },
  ];
}

import { Card, CardBody, CardTitle, Grid, GridItem, PageSection } from '@patternfly/react-core';
import { ApiError } from '@cyborg/api-client/errors';
import { useState, type ReactElement } from 'react';
import { useParams } from 'react-router';

import type { Result } from '../../api/call.ts';
import { useRead, type Reading } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { Ago } from '../../components/instant.tsx';
import { BackendLink, HostLink } from '../../components/links.tsx';
import { ListTable, type Column } from '../../components/list-table.tsx';
import { Empty, Failure, Loading } from '../../components/outcomes.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { State } from '../../components/states.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { usePermission } from '../../session/who.ts';
import type { Driver } from './drivers-page.tsx';

type Deployment = Result<'showDeployment'>;

const parent = { title: 'Drivers', to: '/drivers' };

type DialogKind = 'install' | 'update' | 'uninstall';

export function DriverPage(): ReactElement {
  const { driver: id = '' } = useParams();
  const { data: driver, error, again } = useRead('showDriver', { params: { driver_id: id } });
  const mayShow = usePermission('deployment:show').isAllowed;
  const deployment = useRead('showDeployment', { params: { driver_id: id } }, { enabled: mayShow });
  const [dialog, setDialog] = useState<DialogKind>();
  if (error !== null || driver === undefined) {
    return (
      <>
        <PageHead title={id} parent={parent} />
        <PageSection isFilled>
          {error === null ? (
            <Loading what="the driver" />
          ) : (
            <Failure error={error} what="driver" again={again} />
          )}
        </PageSection>
      </>
    );
  }
  return (
    <>
      <PageHead
        title={driver.id}
        about={driver.title}
        parent={parent}
        actions={<Acts driver={driver} open={setDialog} />}
      />
      <PageSection isFilled>
        <Grid hasGutter>
          <GridItem span={12}>
            <Installed mayShow={mayShow} deployment={deployment} />
          </GridItem>
          <GridItem span={12}>
            <Versions driver={driver} />
          </GridItem>
        </Grid>
      </PageSection>
      {dialog !== undefined && (
        <DeploymentDialog
          kind={dialog}
          driver={driver}
          etag={deployment.etag}
          close={() => setDialog(undefined)}
        />
      )}
    </>
  );
}

function Acts({
  driver,
  open,
}: {
  driver: Driver;
  open: (kind: DialogKind) => void;
}): ReactElement {
  const isInstalled = driver.installed_version !== null;
  const isNewest = driver.installed_version === driver.version;
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
      <ActButton
        action="deployment:update"
        obstacle={updateObstacle(isInstalled, isNewest)}
        onClick={() => open('update')}
      >
        Update
      </ActButton>
      <ActButton
        action="deployment:uninstall"
        variant="danger"
        obstacle={isInstalled ? undefined : 'It is not installed.'}
        onClick={() => open('uninstall')}
      >
        Uninstall
      </ActButton>
    </div>
  );
}

function updateObstacle(isInstalled: boolean, isNewest: boolean): string | undefined {
  if (!isInstalled) return 'It is not installed.';
  return isNewest ? 'The newest approved version is installed.' : undefined;
}

interface DeploymentDialogProps {
  readonly kind: DialogKind;
  readonly driver: Driver;
  readonly etag: string | undefined;
  readonly close: () => void;
}

function DeploymentDialog({ kind, driver, etag, close }: DeploymentDialogProps): ReactElement {
  const { follow } = useToasts();
  const params = { driver_id: driver.id };
  const shared = { close, onDone: ({ id }: { id: string }) => follow(id) };
  switch (kind) {
    case 'install':
      return (
        <ActDialog
          name="installDriver"
          title={`Install ${driver.id}`}
          verb="Install"
          args={{ params, body: {} }}
          {...shared}
        >
          <p>Its default backends, on every host that you may use. The CLI takes more choices.</p>
        </ActDialog>
      );
    case 'update':
      return (
        <ActDialog
          name="updateDriver"
          title={`Update ${driver.id}`}
          verb="Update"
          args={{ params, body: driver.version === null ? {} : { version: driver.version } }}
          ifMatch={etag}
          {...shared}
        />
      );
    case 'uninstall':
      return (
        <ActDialog
          name="uninstallDriver"
          title={`Uninstall ${driver.id}`}
          verb="Uninstall"
          isDangerous
          args={{ params }}
          ifMatch={etag}
          {...shared}
        />
      );
    default:
      return kind;
  }
}

interface InstalledProps {
  readonly mayShow: boolean;
  readonly deployment: Reading<Deployment>;
}

function Installed({ mayShow, deployment }: InstalledProps): ReactElement {
  const { data, error, again } = deployment;
  return (
    <Card>
      <CardTitle component="h2">Where it is installed</CardTitle>
      <CardBody>
        {!mayShow && (
          <Empty title="Not for you">Admins and managers see where drivers are installed.</Empty>
        )}
        {mayShow && error !== null && isAbsent(error) && (
          <Empty title="Nowhere">
            Install puts its default backends on the hosts that you may use.
          </Empty>
        )}
        {mayShow && error !== null && !isAbsent(error) && (
          <Failure error={error} what="The deployment" again={again} />
        )}
        {mayShow && error === null && data === undefined && <Loading what="installations" />}
        {data !== undefined && error === null && (
          <>
            <ListTable
              label="Installations"
              items={data.installations}
              columns={installationColumns}
              keyOf={({ host }) => host}
            />
            <ListTable
              label="Backends of the deployment"
              items={data.backends}
              columns={backendColumns}
              keyOf={({ name, hosts }) => `${name} ${hosts?.join(' ')}`}
            />
          </>
        )}
      </CardBody>
    </Card>
  );
}

function isAbsent(error: Error): boolean {
  return error instanceof ApiError && error.status === 404;
}

const installationColumns: readonly Column<Deployment['installations'][number]>[] = [
  { title: 'Host', cell: ({ host }) => <HostLink host={host} /> },
  { title: 'Wanted', cell: ({ wanted_version: version }) => version },
  { title: 'Running', cell: ({ running_version: version }) => version ?? 'none' },
  { title: 'State', cell: ({ state }) => <State state={state} /> },
  { title: 'Reason', cell: ({ reason }) => reason ?? '', wraps: true },
];

const backendColumns: readonly Column<Deployment['backends'][number]>[] = [
  {
    title: 'Backend',
    cell: ({ name, hosts }) =>
      hosts?.length === 1 ? <BackendLink host={hosts[0] ?? ''} name={name} /> : name,
  },
  { title: 'Kind', cell: ({ kind }) => kind },
  {
    title: 'Hosts',
    cell: ({ hosts, labels }) =>
      hosts?.join(', ') ?? (labels === null ? 'all' : JSON.stringify(labels)),
    wraps: true,
  },
  {
    title: 'Configuration',
    cell: ({ config }) => <code>{JSON.stringify(config)}</code>,
    wraps: true,
  },
];

function Versions({ driver }: { driver: Driver }): ReactElement {
  return (
    <Card>
      <CardTitle component="h2">Versions</CardTitle>
      <CardBody>
        <ListTable
          label="Versions"
          items={driver.versions}
          columns={versionColumns}
          keyOf={({ version }) => version}
        />
      </CardBody>
    </Card>
  );
}

const versionColumns: readonly Column<Driver['versions'][number]>[] = [
  { title: 'Version', cell: ({ version }) => version },
  { title: 'State', cell: ({ state }) => <State state={state} /> },
  { title: 'From', cell: ({ builtin }) => (builtin ? 'this release' : 'an upload') },
  { title: 'Known since', cell: ({ created_at: at }) => <Ago at={at} /> },
];

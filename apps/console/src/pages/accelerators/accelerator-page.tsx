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
import { useParams } from 'react-router';

import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { Ago } from '../../components/instant.tsx';
import { Facts, Id, Words } from '../../components/facts.tsx';
import { BackendLink, HostLink, InstanceLink } from '../../components/links.tsx';
import { Failure, Loading } from '../../components/outcomes.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { State } from '../../components/states.tsx';
import { useWho } from '../../session/who.ts';
import { AcceleratorDialog, type DialogKind } from './accelerator-dialog.tsx';
import type { Accelerator } from './accelerators-page.tsx';
import { History } from './history.tsx';

const parent = { title: 'Accelerators', to: '/accelerators' };

export function AcceleratorPage(): ReactElement {
  const { id = '' } = useParams();
  const { data, etag, error, again } = useRead('showAccelerator', { params: { id } });
  const [dialog, setDialog] = useState<DialogKind>();
  if (error !== null || data === undefined) {
    return (
      <>
        <PageHead title="Accelerator" parent={parent} />
        <PageSection isFilled>
          {error === null ? (
            <Loading what="the accelerator" />
          ) : (
            <Failure error={error} what="accelerator" again={again} />
          )}
        </PageSection>
      </>
    );
  }
  return (
    <>
      <PageHead
        title={data.name}
        about={data.description}
        parent={parent}
        actions={<Acts accelerator={data} open={setDialog} />}
      />
      <PageSection isFilled>
        <Known accelerator={data} />
      </PageSection>
      {dialog !== undefined && (
        <AcceleratorDialog
          kind={dialog}
          accelerator={data}
          etag={etag}
          close={() => setDialog(undefined)}
        />
      )}
    </>
  );
}

interface ActsProps {
  readonly accelerator: Accelerator;
  readonly open: (kind: DialogKind) => void;
}

function Acts({ accelerator, open }: ActsProps): ReactElement {
  const { caller } = useWho();
  const { state, project_id: holder } = accelerator;
  const isAdmin = caller.roles.includes('admin');
  const forAdmins = isAdmin ? undefined : 'Only an admin offers and withholds accelerators.';
  const isOurs = isAdmin || holder === caller.project_id;
  const notOurs = isOurs ? undefined : 'Only while an instance of your project holds it.';
  const isHeld = ['attached', 'reserved', 'orphaned'].includes(state);
  return (
    <div className="console-acts">
      {isHeld ? (
        <ActButton
          action="attachment:delete"
          variant="primary"
          obstacle={notOurs}
          onClick={() => open('detach')}
        >
          Detach
        </ActButton>
      ) : (
        <ActButton
          action="attachment:create"
          variant="primary"
          obstacle={state === 'available' ? undefined : `It is ${state}, not available.`}
          onClick={() => open('attach')}
        >
          Attach
        </ActButton>
      )}
      {(state === 'withheld' || state === 'cleaning_failed') && (
        <ActButton action="accelerator:update" obstacle={forAdmins} onClick={() => open('approve')}>
          Approve
        </ActButton>
      )}
      {state !== 'withheld' && (
        <ActButton
          action="accelerator:update"
          obstacle={forAdmins}
          onClick={() => open('withhold')}
        >
          Withhold
        </ActButton>
      )}
      <ActButton action="accelerator:update" obstacle={notOurs} onClick={() => open('edit')}>
        Edit
      </ActButton>
    </div>
  );
}

function Known({ accelerator }: { accelerator: Accelerator }): ReactElement {
  return (
    <Grid hasGutter>
      {accelerator.reason !== null && (
        <GridItem span={12}>
          <Alert
            isInline
            variant="warning"
            title={`Why it is ${accelerator.state.replaceAll('_', ' ')}`}
          >
            {accelerator.reason}
          </Alert>
        </GridItem>
      )}
      <GridItem span={12} xl={7}>
        <Card isFullHeight>
          <CardTitle component="h2">What it is</CardTitle>
          <CardBody>
            <Facts facts={factsOf(accelerator)} />
          </CardBody>
        </Card>
      </GridItem>
      <GridItem span={12} xl={5}>
        <Card isFullHeight>
          <CardTitle component="h2">Who held it when</CardTitle>
          <CardBody>
            <History id={accelerator.id} />
          </CardBody>
        </Card>
      </GridItem>
    </Grid>
  );
}

function factsOf(it: Accelerator): [string, ReactElement | string | number | null][] {
  const labels = Object.entries(it.labels).map(([name, value]) => `${name}=${value}`);
  return [
    ['State', <State key="state" state={it.state} />],
    ['Held by', it.instance_id === null ? null : <InstanceLink key="i" id={it.instance_id} />],
    ['Project', it.project_id],
    ['Reserved for', it.reserved_for],
    ['Presence', <State key="presence" state={it.presence} />],
    ['Absent since', it.absent_since === null ? null : <Ago key="absent" at={it.absent_since} />],
    ['Health', <State key="health" state={it.health} />],
    ['Type', it.type],
    ['Host', <HostLink key="host" host={it.host} />],
    ['Backend', <BackendLink key="backend" host={it.host} name={it.backend} />],
    ['Driver', it.driver_id],
    ['Address', it.address],
    ['NUMA node', it.numa_node],
    ['IOMMU group', it.iommu_group],
    ['PCIe root', it.pcie_root],
    ['Resource class', it.resource_class],
    ['Traits', <Words key="traits" words={it.traits} what="Traits" />],
    ['Ways to attach', <Words key="plans" words={it.plans} what="Ways to attach" />],
    ['Labels', <Words key="labels" words={labels} what="Labels" />],
    ['Given without reset because', it.resetless_reason],
    ['Simulated', it.simulated ? 'yes' : null],
    ['In the ledger since', <Ago key="created" at={it.created_at} />],
    ['Id', <Id key="id" id={it.id} />],
  ];
}

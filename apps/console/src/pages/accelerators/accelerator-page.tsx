import { useState, type ReactElement } from 'react';
import { useParams } from 'react-router';

import { useRead } from '../../api/read.ts';
import { EventsOf } from '../../components/events-of.tsx';
import { Ago } from '../../components/instant.tsx';
import { Facts, Id, Words } from '../../components/facts.tsx';
import { BackendLink, HostLink, InstanceLink } from '../../components/links.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { remedyOfAccelerator } from '../../components/remedies.ts';
import { State, stateWords } from '../../components/states.tsx';
import { Notice, Panel, Panels, ThingPage } from '../../components/thing-page.tsx';
import { Acts } from './accelerator-acts.tsx';
import { AcceleratorDialog, type DialogKind } from './accelerator-dialog.tsx';
import type { Accelerator } from './accelerators-page.tsx';
import { History } from './history.tsx';

const parent = { title: 'Accelerators', to: '/accelerators' };

export function AcceleratorPage(): ReactElement {
  const { id = '' } = useParams();
  const reading = useRead('showAccelerator', { params: { id } });
  const [dialog, setDialog] = useState<DialogKind>();
  return (
    <ThingPage reading={reading} what="accelerator" title="Accelerator" parent={parent}>
      {(accelerator) => (
        <>
          <PageHead
            title={accelerator.name}
            about={accelerator.description}
            parent={parent}
            actions={<Acts accelerator={accelerator} open={setDialog} />}
          />
          <Known accelerator={accelerator} />
          {dialog !== undefined && (
            <AcceleratorDialog
              kind={dialog}
              accelerator={accelerator}
              etag={reading.etag}
              close={() => setDialog(undefined)}
            />
          )}
        </>
      )}
    </ThingPage>
  );
}

function Known({ accelerator }: { accelerator: Accelerator }): ReactElement {
  const { id, state, reason } = accelerator;
  const remedy = remedyOfAccelerator(state);
  return (
    <Panels>
      {(reason !== null || remedy !== undefined) && (
        <Notice title={whyOf(state)}>
          {reason !== null && <p>{reason}</p>}
          {remedy !== undefined && <p>{remedy}</p>}
        </Notice>
      )}
      <Panel title="What it is" width="wide">
        <Facts facts={factsOf(accelerator)} />
      </Panel>
      <Panel title="Who held it when" width="narrow">
        <History id={id} />
      </Panel>
      <Panel title="What became of it">
        <EventsOf subjectId={id} />
      </Panel>
    </Panels>
  );
}

function whyOf(state: string): string {
  return state === 'cleaning_failed'
    ? 'Why it could not be cleaned'
    : `Why it is ${stateWords(state)}`;
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

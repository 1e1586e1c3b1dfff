import { FormGroup, FormSelect, FormSelectOption } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { Ago } from '../../components/instant.tsx';
import { HostLink, InstanceLink } from '../../components/links.tsx';
import { ListPage } from '../../components/list-page.tsx';
import type { Column } from '../../components/list-table.tsx';
import { useToasts } from '../../components/toasts.tsx';

type Unclaimed = Result<'listUnclaimed'>['items'][number];

interface Wish {
  readonly act: 'release' | 'adopt';
  readonly unclaimed: Unclaimed;
}

function columnsWith(open: (wish: Wish) => void): readonly Column<Unclaimed>[] {
  return [
    {
      title: 'Device',
      cell: ({ device_name: name }) => <span className="console-mono">{name}</span>,
    },
    { title: 'Host', cell: ({ host }) => <HostLink host={host} /> },
    { title: 'Instance', cell: ({ instance_id: id }) => <InstanceLink id={id} /> },
    { title: 'First seen', cell: ({ first_seen_at: at }) => <Ago at={at} /> },
    { title: 'Ordered', cell: ({ ordered }) => ordered ?? '' },
    {
      title: 'Acts',
      cell: (unclaimed) => (
        <>
          <ActButton
            action="unclaimed:update"
            variant="link"
            size="sm"
            onClick={() => open({ act: 'adopt', unclaimed })}
          >
            Adopt
          </ActButton>
          <ActButton
            action="unclaimed:update"
            variant="link"
            size="sm"
            onClick={() => open({ act: 'release', unclaimed })}
          >
            Release
          </ActButton>
        </>
      ),
    },
  ];
}

export function UnclaimedPage(): ReactElement {
  const { say } = useToasts();
  const [wish, setWish] = useState<Wish>();
  const close = (): void => setWish(undefined);
  return (
    <>
      <ListPage
        name="listUnclaimed"
        title="Unclaimed devices"
        about="Devices of ours in guests, which the ledger knows nothing of. Nobody touches them until you say so."
        filters={[{ name: 'host', label: 'Host' }]}
        columns={columnsWith(setWish)}
        keyOf={({ id }) => id}
        empty={<>All that hosts have plugged is in the ledger.</>}
      />
      {wish?.act === 'release' && (
        <ActDialog
          name="releaseUnclaimed"
          title={`Release ${wish.unclaimed.device_name}`}
          verb="Release"
          isDangerous
          args={{ params: { id: wish.unclaimed.id } }}
          close={close}
          onDone={() => say('Its host is told to unplug it.')}
        />
      )}
      {wish?.act === 'adopt' && <AdoptDialog unclaimed={wish.unclaimed} close={close} />}
    </>
  );
}

function AdoptDialog({
  unclaimed,
  close,
}: {
  unclaimed: Unclaimed;
  close: () => void;
}): ReactElement {
  const { say } = useToasts();
  const [accelerator, setAccelerator] = useState('');
  const { data } = useRead('listAccelerators', {
    query: { host: unclaimed.host, sort: 'name', limit: 1000 },
  });
  return (
    <ActDialog
      name="adoptUnclaimed"
      title={`Adopt ${unclaimed.device_name}`}
      verb="Adopt"
      args={
        accelerator === '' ? undefined : { params: { id: unclaimed.id }, body: { accelerator } }
      }
      close={close}
      onDone={() => say('It is in the ledger now.')}
    >
      <FormGroup label="Which accelerator it is" isRequired fieldId="adopt-accelerator">
        <FormSelect
          id="adopt-accelerator"
          value={accelerator}
          onChange={(_event, value) => setAccelerator(value)}
        >
          <FormSelectOption value="" label="Choose one" />
          {data?.items.map(({ id, name, state }) => (
            <FormSelectOption key={id} value={id} label={`${name} (${state})`} />
          ))}
        </FormSelect>
      </FormGroup>
    </ActDialog>
  );
}

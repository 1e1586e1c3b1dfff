import { FormGroup, FormSelect, FormSelectOption } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { Ago } from '../../components/instant.tsx';
import { AcceleratorLink, HostLink, InstanceLink } from '../../components/links.tsx';
import { ListPage } from '../../components/list-page.tsx';
import type { Column } from '../../components/list-table.tsx';
import { useToasts } from '../../components/toasts.tsx';

const adopted = 'It is in the ledger now.';

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
      wraps: true,
    },
    { title: 'Host', cell: ({ host }) => <HostLink host={host} /> },
    { title: 'Instance', cell: ({ instance_id: id }) => <InstanceLink id={id} /> },
    { title: 'Accelerator', cell: (unclaimed) => <WhichOne {...unclaimed} /> },
    { title: 'First seen', cell: ({ first_seen_at: at }) => <Ago at={at} /> },
    {
      title: 'Ordered',
      cell: ({ ordered, reason }) => [ordered, reason].filter((text) => text !== null).join(': '),
      wraps: true,
    },
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

/** Also what nobody knows as an accelerator may have an address. */
function WhichOne({
  accelerator_id: id,
  accelerator_name: name,
  address,
}: Unclaimed): ReactElement {
  return (
    <>
      {id === null ? 'not known' : <AcceleratorLink id={id} name={name ?? id} />}{' '}
      {address !== null && <span className="console-mono">{address}</span>}
    </>
  );
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
        about="Devices of ours in guests, which the ledger knows nothing of. Nobody touches them until you say so, and their accelerators are given to nobody."
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
          onDone={() => say('Its host is told to unplug it; then its accelerator is cleaned.')}
        />
      )}
      {wish?.act === 'adopt' &&
        (wish.unclaimed.accelerator_id === null ? (
          <AdoptDialog unclaimed={wish.unclaimed} close={close} />
        ) : (
          <ActDialog
            name="adoptUnclaimed"
            title={`Adopt ${wish.unclaimed.device_name} as ${wish.unclaimed.accelerator_name}`}
            verb="Adopt"
            args={{ params: { id: wish.unclaimed.id }, body: {} }}
            close={close}
            onDone={() => say(adopted)}
          />
        ))}
    </>
  );
}

/** Nobody but the operator knows which accelerator it is. */
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
      onDone={() => say(adopted)}
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

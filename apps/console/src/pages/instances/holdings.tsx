import { useState, type ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { Ago } from '../../components/instant.tsx';
import { AcceleratorLink } from '../../components/links.tsx';
import { ListTable, type Column } from '../../components/list-table.tsx';
import { Empty, Failure, Loading } from '../../components/outcomes.tsx';
import { State } from '../../components/states.tsx';
import { DetachFromDialog } from './detach-from-dialog.tsx';
import type { Instance } from './instances-page.tsx';

type Attachment = Result<'listAttachments'>['items'][number];

export function Holdings({ instance }: { instance: Instance }): ReactElement {
  const { data, error, again } = useRead('listAttachments', {
    params: { instance_id: instance.id },
    query: { limit: 1000 },
  });
  const [detaching, setDetaching] = useState<Attachment>();
  if (error !== null) return <Failure error={error} what="What it holds" again={again} />;
  if (data === undefined) return <Loading what="what it holds" />;
  if (data.items.length === 0) {
    return <Empty title="Nothing">Attach gives it an accelerator of its host.</Empty>;
  }
  return (
    <>
      <ListTable
        label="What it holds"
        items={data.items}
        columns={columnsWith(setDetaching)}
        keyOf={({ id }) => id}
      />
      {detaching !== undefined && (
        <DetachFromDialog
          instance={instance}
          attachment={detaching}
          close={() => setDetaching(undefined)}
        />
      )}
    </>
  );
}

function columnsWith(detach: (attachment: Attachment) => void): readonly Column<Attachment>[] {
  return [
    {
      title: 'Accelerator',
      cell: ({ accelerator_id: id, accelerator_name: name }) =>
        id === null ? 'not chosen yet' : <AcceleratorLink id={id} name={name ?? id} />,
    },
    { title: 'Type', cell: ({ accelerator_type: type }) => type ?? '' },
    { title: 'State', cell: ({ state }) => <State state={state} /> },
    { title: 'In the guest', cell: ({ observed }) => <State state={observed} /> },
    { title: 'Plugged by', cell: ({ plugged_by: by, origin }) => `${by} (${origin})` },
    { title: 'Since', cell: ({ created_at: at }) => <Ago at={at} /> },
    { title: 'Reason', cell: ({ reason }) => reason ?? '', wraps: true },
    {
      title: 'Acts',
      cell: (attachment) => (
        <ActButton
          action="attachment:delete"
          variant="link"
          size="sm"
          obstacle={obstacleOf(attachment)}
          onClick={() => detach(attachment)}
        >
          Detach
        </ActButton>
      ),
    },
  ];
}

function obstacleOf({ origin, state, accelerator_id: id }: Attachment): string | undefined {
  if (origin === 'nova')
    return 'Nova gave it at boot: it goes when the server is deleted or rebuilt.';
  if (id === null) return 'It has no accelerator yet.';
  return state === 'detaching' ? 'It is being detached.' : undefined;
}

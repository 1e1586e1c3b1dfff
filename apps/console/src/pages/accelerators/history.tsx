import { List, ListItem } from '@patternfly/react-core';
import type { ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { useRead } from '../../api/read.ts';
import { Ago } from '../../components/instant.tsx';
import { InstanceLink } from '../../components/links.tsx';
import { Empty, Failure, Loading } from '../../components/outcomes.tsx';
import { State } from '../../components/states.tsx';

type Attachment = Result<'listAcceleratorAttachments'>['items'][number];

const shown = 50;

export function History({ id }: { id: string }): ReactElement {
  const { data, error, again } = useRead('listAcceleratorAttachments', {
    params: { id },
    query: { limit: shown },
  });
  if (error !== null) return <Failure error={error} what="The history" again={again} />;
  if (data === undefined) return <Loading what="the history" />;
  if (data.items.length === 0) {
    return <Empty title="Nobody">No instance that you may know of has held it.</Empty>;
  }
  return (
    <List isPlain className="console-history" aria-label="Who held it, newest first">
      {data.items.map((attachment) => (
        <ListItem key={attachment.id}>
          <Held attachment={attachment} />
        </ListItem>
      ))}
      {data.next !== null && <ListItem>Older ones are left out here.</ListItem>}
    </List>
  );
}

function Held({ attachment }: { attachment: Attachment }): ReactElement {
  const { instance_id: instance, state, created_at: from, updated_at: to, reason } = attachment;
  const isOver = state === 'released';
  return (
    <>
      <State state={state} /> {instance === null ? 'no instance' : <InstanceLink id={instance} />}{' '}
      of project {attachment.project_id}, given by {attachment.user_id} <Ago at={from} />
      {isOver && to !== null && (
        <>
          , ended <Ago at={to} />
        </>
      )}
      {reason !== null && <small> ({reason})</small>}
    </>
  );
}

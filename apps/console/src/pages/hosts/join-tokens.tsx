import { Card, CardBody, CardTitle, PageSection } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { useRead } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { Instant } from '../../components/instant.tsx';
import { ListTable, type Column } from '../../components/list-table.tsx';
import { Failure } from '../../components/outcomes.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { usePermission } from '../../session/who.ts';

type OpenToken = Result<'listJoinTokens'>['items'][number];

const limit = 1000;

function columnsWith(remove: (token: OpenToken) => void): readonly Column<OpenToken>[] {
  return [
    { title: 'For host', cell: ({ host }) => host ?? 'any new one' },
    { title: 'For', cell: ({ reenrol }) => (reenrol ? 'a host that is known' : 'a new host') },
    { title: 'Made by', cell: ({ created_by: by }) => by },
    { title: 'Good until', cell: ({ expires_at: at }) => <Instant at={at} /> },
    {
      title: 'Acts',
      cell: (token) => (
        <ActButton action="host:enroll" variant="link" size="sm" onClick={() => remove(token)}>
          Take back
        </ActButton>
      ),
    },
  ];
}

/** Below the hosts: who may still join. Nothing is shown where there are none. */
export function JoinTokens(): ReactElement | null {
  const { say } = useToasts();
  const { isAllowed } = usePermission('host:enroll');
  const { data, error, again } = useRead(
    'listJoinTokens',
    { query: { limit } },
    { enabled: isAllowed },
  );
  const [removing, setRemoving] = useState<OpenToken>();
  const tokens = data?.items ?? [];
  if (error === null && tokens.length === 0) return null;
  return (
    <PageSection>
      <Card>
        <CardTitle component="h2">Join tokens that can still be used</CardTitle>
        <CardBody>
          {error === null ? (
            <ListTable
              label="Join tokens"
              items={tokens}
              columns={columnsWith(setRemoving)}
              keyOf={({ id }) => id}
            />
          ) : (
            <Failure error={error} what="Join tokens" again={again} />
          )}
        </CardBody>
      </Card>
      {removing !== undefined && (
        <ActDialog
          name="deleteJoinToken"
          title={`Take back the join token for ${removing.host ?? 'a new host'}`}
          verb="Take back"
          isDangerous
          args={{ params: { id: removing.id } }}
          close={() => setRemoving(undefined)}
          onDone={() => say('Nobody joins with it any more.')}
        />
      )}
    </PageSection>
  );
}

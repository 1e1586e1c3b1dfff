import { useState, type ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { ActButton } from '../../components/act-button.tsx';
import { freeOf } from '../../components/counts.ts';
import { Ago } from '../../components/instant.tsx';
import { HostLink } from '../../components/links.tsx';
import { ListPage } from '../../components/list-page.tsx';
import type { Column } from '../../components/list-table.tsx';
import { State } from '../../components/states.tsx';
import { JoinTokenDialog } from './join-token-dialog.tsx';
import { JoinTokens } from './join-tokens.tsx';
import { JoinTokenShown, type JoinToken } from './join-token-shown.tsx';

export type Host = Result<'showHost'>;

const columns: readonly Column<Host>[] = [
  { title: 'Name', cell: ({ name }) => <HostLink host={name} /> },
  { title: 'State', cell: ({ state }) => <State state={state} /> },
  { title: 'Status', cell: ({ status }) => <State state={status} /> },
  {
    title: 'Hypervisors',
    cell: ({ hypervisors }) => hypervisors.map((one) => one.hypervisor).join(', '),
  },
  { title: 'Free', cell: freeOf },
  { title: 'Agent', cell: ({ agent_version: version }) => version ?? '' },
  { title: 'Enrolled', cell: ({ created_at: at }) => <Ago at={at} /> },
  {
    title: 'Conditions',
    cell: ({ conditions }) => conditions.map(({ message }) => message).join('; '),
    wraps: true,
  },
];

export function HostsPage(): ReactElement {
  const [isMaking, setIsMaking] = useState(false);
  const [token, setToken] = useState<JoinToken>();
  return (
    <>
      <ListPage
        name="listHosts"
        title="Hosts"
        about="Machines with an agent, and whether it reports."
        filters={[{ name: 'state', label: 'State', options: ['up', 'down'] }]}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <>
            No host has enrolled, or none is granted to your project. An admin makes a join token
            here and gives it to the agent of a host.
          </>
        }
        actions={
          <ActButton action="host:enroll" variant="primary" onClick={() => setIsMaking(true)}>
            Make a join token
          </ActButton>
        }
      />
      <JoinTokens />
      {isMaking && <JoinTokenDialog close={() => setIsMaking(false)} onDone={setToken} />}
      {token !== undefined && <JoinTokenShown token={token} close={() => setToken(undefined)} />}
    </>
  );
}

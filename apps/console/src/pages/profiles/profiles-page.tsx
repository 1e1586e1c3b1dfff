import { Label, LabelGroup } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { Ago } from '../../components/instant.tsx';
import { ListPage } from '../../components/list-page.tsx';
import type { Column } from '../../components/list-table.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { CreateProfileDialog } from './create-profile-dialog.tsx';

type Profile = Result<'showProfile'>;

function columnsWith(remove: (profile: Profile) => void): readonly Column<Profile>[] {
  return [
    { title: 'Name', cell: ({ name }) => name },
    { title: 'Asks for', cell: ({ groups }) => <Groups groups={groups} />, wraps: true },
    { title: 'Description', cell: ({ description }) => description ?? '', wraps: true },
    { title: 'Made', cell: ({ created_at: at }) => <Ago at={at} /> },
    {
      title: 'Acts',
      cell: (profile) => (
        <ActButton action="profile:delete" variant="link" size="sm" onClick={() => remove(profile)}>
          Delete
        </ActButton>
      ),
    },
  ];
}

function Groups({ groups }: { groups: Profile['groups'] }): ReactElement {
  return (
    <>
      {groups.map((group, at) => (
        <LabelGroup key={JSON.stringify([at, group])} aria-label={`Group ${at + 1}`} numLabels={8}>
          {Object.entries(group).map(([key, value]) => (
            <Label key={key} isCompact variant="outline">
              {key}={value}
            </Label>
          ))}
        </LabelGroup>
      ))}
    </>
  );
}

export function ProfilesPage(): ReactElement {
  const { say } = useToasts();
  const [removing, setRemoving] = useState<Profile>();
  const [isCreating, setIsCreating] = useState(false);
  return (
    <>
      <ListPage
        name="listProfiles"
        title="Device profiles"
        about="Named wishes for accelerators: Nova flavors and attach refer to them."
        columns={columnsWith(setRemoving)}
        keyOf={({ id }) => id}
        empty={<>No device profile is made yet. An admin makes one with Create.</>}
        actions={
          <ActButton action="profile:create" variant="primary" onClick={() => setIsCreating(true)}>
            Create
          </ActButton>
        }
      />
      {isCreating && <CreateProfileDialog close={() => setIsCreating(false)} />}
      {removing !== undefined && (
        <ActDialog
          name="deleteProfile"
          title={`Delete ${removing.name}`}
          verb="Delete"
          isDangerous
          args={{ params: { profile: removing.id } }}
          close={() => setRemoving(undefined)}
          onDone={() => say(`${removing.name} is deleted.`)}
        />
      )}
    </>
  );
}

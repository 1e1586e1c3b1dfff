/** What does not get better by itself, with the way to it. */
import { List, ListItem } from '@patternfly/react-core';
import { ExclamationCircleIcon, ExclamationTriangleIcon } from '@patternfly/react-icons';
import type { ReactElement } from 'react';
import { Link } from 'react-router';

import { placeOf } from '../../components/links.tsx';
import { Empty } from '../../components/outcomes.tsx';
import type { Summary } from './overview-page.tsx';

type Trouble = Summary['attention'][number];

const words: Readonly<Record<string, string>> = {
  'host-down':
    'is down: its agent does not report. What is attached stays attached; see to the machine and its agent.',
  'attachment-failed': 'could not be attached: detach it, or see to its host.',
  cleaning_failed:
    'could not be cleaned and is kept out: mend the cause and have it cleaned again, or approve it with why it is clean after all.',
  orphaned:
    'was kept attached when its driver was uninstalled: install the driver again with a backend of that name, or detach it.',
  'backend-failed':
    'has a driver that fails: look at its last lines, mend what they name, and restart it.',
  'backend-blocked':
    'waits for somebody to prepare its host: do there what is said here, and it begins by itself.',
  'backend-stale':
    'shows its last good inventory: its driver does not answer. It is started again by itself; if it stays like this, look at its last lines.',
  'backend-draining':
    'is being uninstalled, and goes when what is held of it is detached and clean: look at who holds it if that takes long.',
  'host-condition': 'has a condition: do what is said here.',
  unclaimed: 'is in a guest, and the ledger knows nothing of it: adopt or release it.',
};

const severe = new Set(['host-down', 'attachment-failed', 'backend-failed']);

export function Attention({ troubles }: { troubles: readonly Trouble[] }): ReactElement {
  if (troubles.length === 0)
    return <Empty title="Nothing">Everything that you may see is well.</Empty>;
  return (
    <List isPlain isBordered>
      {troubles.map((trouble) => (
        <ListItem
          key={`${trouble.problem} ${trouble.subject_id}`}
          icon={
            severe.has(trouble.problem) ? (
              <ExclamationCircleIcon color="var(--pf-t--global--icon--color--status--danger--default)" />
            ) : (
              <ExclamationTriangleIcon color="var(--pf-t--global--icon--color--status--warning--default)" />
            )
          }
        >
          <One trouble={trouble} />
        </ListItem>
      ))}
    </List>
  );
}

function One({ trouble }: { trouble: Trouble }): ReactElement {
  const { problem, subject_kind: kind, subject_id: id, name, host, reason } = trouble;
  const place = placeOf(kind, id, host);
  const title = host === null || host === name ? name : `${name} on ${host}`;
  return (
    <>
      {place === undefined ? title : <Link to={place}>{title}</Link>} {words[problem] ?? problem}
      {reason !== null && <small> ({reason})</small>}
    </>
  );
}

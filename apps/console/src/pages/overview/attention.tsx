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
  'host-down': 'is down: its agent does not report. Its accelerators keep what they hold.',
  'attachment-failed': 'could not be attached: detach it, or see to its host.',
  cleaning_failed: 'could not be cleaned and is kept out: look at it, then approve it again.',
  orphaned: 'was kept when its driver was uninstalled: install the driver again, or release it.',
  'backend-failed': 'has a driver that fails.',
  'backend-blocked': 'cannot begin yet.',
  'backend-stale': 'shows its last good inventory: its driver does not answer.',
  'host-condition': 'has a condition.',
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

/** Whether what is shown follows the ledger: told by text and colour, and to screen readers when it changes. */
import { Label, Tooltip } from '@patternfly/react-core';
import { useEffect, useState, type ReactElement } from 'react';

import type { Connection } from '../live/event-stream.ts';
import { useConnection } from '../live/live.tsx';

const looks = {
  live: {
    text: 'Live',
    color: 'green',
    help: 'Changes are shown as they are committed.',
  },
  connecting: {
    text: 'Connecting',
    color: 'grey',
    help: 'The stream of events is being opened.',
  },
  lost: {
    text: 'Not live',
    color: 'orange',
    help: 'The server does not send events now; this page goes on trying, and then shows what was missed.',
  },
} as const satisfies Record<Connection, { text: string; color: string; help: string }>;

/** A break that heals within this is not worth a word. */
const patienceMs = 1_500;

export function ConnectionBadge(): ReactElement {
  const connection = useSettled(useConnection());
  const { text, color, help } = looks[connection];
  return (
    <Tooltip content={help}>
      <span
        className="console-badge"
        role="status"
        aria-live="polite"
        tabIndex={0}
        data-connection={connection}
      >
        <Label color={color} isCompact>
          {text}
        </Label>
      </span>
    </Tooltip>
  );
}

function useSettled(connection: Connection): Connection {
  const [settled, setSettled] = useState(connection);
  useEffect(() => {
    const waitMs = connection === 'live' ? 0 : patienceMs;
    const timer = setTimeout(() => setSettled(connection), waitMs);
    return () => clearTimeout(timer);
  }, [connection]);
  return settled;
}

/** The newest events since this was shown, newest first. */
import { useCallback, useState } from 'react';

import type { LedgerEvent } from '../live/event-stream.ts';
import { useEvents } from '../live/live.tsx';

export function useFreshEvents(most: number): readonly LedgerEvent[] {
  const [fresh, setFresh] = useState<readonly LedgerEvent[]>([]);
  const add = useCallback(
    (event: LedgerEvent) => setFresh((before) => [event, ...before].slice(0, most)),
    [most],
  );
  useEvents(add);
  return fresh;
}

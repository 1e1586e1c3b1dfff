/** Events as they come, put before those that were read. */
import { useCallback, useState } from 'react';

import type { LedgerEvent } from '../live/event-stream.ts';
import { useEvents } from '../live/live.tsx';

export interface FreshOptions {
  readonly most: number;
  /** Undefined: of any kind. */
  readonly kind?: string | undefined;
  readonly subjectId?: string | undefined;
}

/** Those since this was shown, newest first. */
export function useFreshEvents({ most, kind, subjectId }: FreshOptions): readonly LedgerEvent[] {
  const [fresh, setFresh] = useState<readonly LedgerEvent[]>([]);
  const add = useCallback(
    (event: LedgerEvent) => {
      const fits =
        (kind ?? event.kind) === event.kind && (subjectId ?? event.subject_id) === event.subject_id;
      if (fits) setFresh((before) => [event, ...before].slice(0, most));
    },
    [most, kind, subjectId],
  );
  useEvents(add);
  return fresh;
}

export function withFresh(
  fresh: readonly LedgerEvent[],
  read: readonly LedgerEvent[],
): readonly LedgerEvent[] {
  const known = new Set(read.map(({ number }) => number));
  return [...fresh.filter(({ number }) => !known.has(number)), ...read];
}

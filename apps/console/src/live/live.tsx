/** The page's one event stream, its state, and those who listen to it. */
import { useQueryClient } from '@tanstack/react-query';
import {
  createContext,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  type ReactElement,
  type ReactNode,
} from 'react';

import { followEvents, type Connection, type LedgerEvent } from './event-stream.ts';
import { makeRefresh, type Refresh } from './refresh.ts';

type Listener = (event: LedgerEvent) => void;

interface Live {
  readonly connection: Connection;
  readonly listeners: Set<Listener>;
  readonly refresh: Refresh;
}

const LiveContext = createContext<Live | undefined>(undefined);

export interface LiveProviderProps {
  readonly after: number;
  readonly onSignedOut: () => void;
  readonly children: ReactNode;
}

export function LiveProvider({ after, onSignedOut, children }: LiveProviderProps): ReactElement {
  const client = useQueryClient();
  const [connection, setConnection] = useState<Connection>('connecting');
  const listeners = useRef(new Set<Listener>()).current;
  const refresh = useMemo(() => makeRefresh(client), [client]);
  useEffect(() => {
    const ending = new AbortController();
    void followEvents({
      after,
      signal: ending.signal,
      onConnection: setConnection,
      onSignedOut,
      onGap: refresh.ofGap,
      onEvent: (event) => {
        refresh.ofEvent(event);
        for (const listen of listeners) listen(event);
      },
    });
    return () => ending.abort();
  }, [after, client, listeners, onSignedOut, refresh]);
  const live = useMemo(
    () => ({ connection, listeners, refresh }),
    [connection, listeners, refresh],
  );
  return <LiveContext.Provider value={live}>{children}</LiveContext.Provider>;
}

function useLive(): Live {
  const live = useContext(LiveContext);
  if (live === undefined) throw new Error('useLive needs a LiveProvider above it.');
  return live;
}

export function useConnection(): Connection {
  return useLive().connection;
}

export function useRefresh(): Refresh {
  return useLive().refresh;
}

/** Calls `listen` with every event from now on; `listen` must not change with each rendering. */
export function useEvents(listen: Listener): void {
  const { listeners } = useLive();
  useEffect(() => {
    listeners.add(listen);
    return () => void listeners.delete(listen);
  }, [listeners, listen]);
}

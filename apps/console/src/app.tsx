/** Who is there, then the pages: nothing but the sign-in is loaded before. */
import { Alert, Bullseye, Button, Spinner } from '@patternfly/react-core';
import type { Transport } from '@cyborg/api-client/transport';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import {
  lazy,
  Suspense,
  useCallback,
  useEffect,
  useMemo,
  useState,
  type ReactElement,
} from 'react';

import { CallProvider, makeCall } from './api/call.ts';
import { retryPauseMs, shouldRetry } from './api/read.ts';
import { makeTransport } from './api/transport.ts';
import { LiveProvider } from './live/live.tsx';
import { useKeepAlive } from './session/keep-alive.ts';
import { readSession, renewSession, signIn, signOut, type Session } from './session/session.ts';
import { SignInPage } from './session/sign-in-page.tsx';
import { WhoProvider, type Who } from './session/who.ts';

const Pages = lazy(() =>
  import('./pages.tsx').then(({ Pages: component }) => ({ default: component })),
);

function makeClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        // Events say what is old; this is for what they do not tell, such as figures of others.
        staleTime: 60_000,
        retry: shouldRetry,
        retryDelay: retryPauseMs,
      },
    },
  });
}

export function App(): ReactElement {
  const [session, setSession] = useState<Session>();
  const [error, setError] = useState<Error>();
  const [wasSignedIn, setWasSignedIn] = useState(false);
  const forget = useCallback(() => {
    setSession((current) => (current === undefined ? current : { ...current, caller: null }));
  }, []);
  const transport = useMemo(() => makeTransport(forget), [forget]);
  const load = useCallback(() => {
    setError(undefined);
    readSession(transport).then(setSession, setError);
  }, [transport]);
  useEffect(load, [load]);
  if (error !== undefined) return <Unreachable error={error} again={load} />;
  if (session === undefined) return <Waiting />;
  if (session.caller === null) {
    return (
      <SignInPage
        auth={session.auth}
        wasSignedIn={wasSignedIn}
        signIn={async (words) => {
          setSession(await signIn(transport, words));
          setWasSignedIn(true);
        }}
      />
    );
  }
  const leave = (): void => {
    void signOut(transport).finally(() => {
      setWasSignedIn(false);
      forget();
    });
  };
  const who = { session, caller: session.caller, signOut: leave };
  return <SignedIn key={session.caller.user_id} who={who} transport={transport} forget={forget} />;
}

interface SignedInProps {
  readonly who: Who;
  readonly transport: Transport;
  readonly forget: () => void;
}

/** One cache a person: the next one sees nothing of it. */
function SignedIn({ who, transport, forget }: SignedInProps): ReactElement {
  const [client] = useState(makeClient);
  const call = useMemo(() => makeCall(transport), [transport]);
  const renew = useCallback(() => renewSession(transport), [transport]);
  useKeepAlive(who.session.idle_seconds, renew);
  return (
    <WhoProvider value={who}>
      <CallProvider value={call}>
        <QueryClientProvider client={client}>
          <LiveProvider after={who.session.newest_event} onSignedOut={forget}>
            <Suspense fallback={<Waiting />}>
              <Pages />
            </Suspense>
          </LiveProvider>
        </QueryClientProvider>
      </CallProvider>
    </WhoProvider>
  );
}

function Waiting(): ReactElement {
  return (
    <Bullseye className="console-whole">
      <Spinner aria-label="Loading" />
    </Bullseye>
  );
}

function Unreachable({ error, again }: { error: Error; again: () => void }): ReactElement {
  return (
    <main className="console-sign-in">
      <Alert
        variant="danger"
        title="The server does not answer"
        actionLinks={
          <Button variant="link" isInline onClick={again}>
            Try again
          </Button>
        }
      >
        {error.message} Is cyborg-server running, and reachable from here?
      </Alert>
    </main>
  );
}

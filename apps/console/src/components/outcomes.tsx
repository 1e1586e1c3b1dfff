/** What is shown where there is nothing to show: still reading, refused, empty. Each says what to do. */
import {
  Alert,
  Button,
  EmptyState,
  EmptyStateActions,
  EmptyStateBody,
  EmptyStateFooter,
  Skeleton,
} from '@patternfly/react-core';
import { ApiError } from '@cyborg/api-client/errors';
import type { ReactElement, ReactNode } from 'react';

import { isStaleEdit } from '../api/act.ts';

export function Loading({ what, rows = 5 }: { what: string; rows?: number }): ReactElement {
  return (
    <div role="status" aria-label={`Reading ${what}`}>
      {Array.from({ length: rows }, (_value, at) => (
        <Skeleton key={at} height="1.5rem" className="console-skeleton" />
      ))}
    </div>
  );
}

export interface FailureProps {
  readonly error: Error;
  readonly what: string;
  readonly again: () => void;
}

export function Failure({ error, what, again }: FailureProps): ReactElement {
  const isAbsent = error instanceof ApiError && error.status === 404;
  const title = isAbsent ? `There is no such ${what}` : `${what} cannot be read`;
  return (
    <EmptyState titleText={capital(title)} headingLevel="h2" status={isAbsent ? 'info' : 'danger'}>
      <EmptyStateBody>
        {error.message}
        {error instanceof ApiError && error.requestId !== undefined && (
          <div className="console-mono">Request {error.requestId}</div>
        )}
      </EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions>
          <Button variant="link" onClick={again}>
            Try again
          </Button>
        </EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A refusal within a dialog. */
export function Refused({ error }: { error: Error }): ReactElement {
  const title = error instanceof ApiError ? error.title : 'The server cannot be reached';
  return (
    <Alert isInline variant="danger" title={title} role="alert">
      {isStaleEdit(error)
        ? 'Somebody changed it since this dialog was opened. Close it, look again, and repeat the change.'
        : error.message}
    </Alert>
  );
}

export interface EmptyProps {
  readonly title: string;
  readonly children: ReactNode;
  readonly action?: ReactNode;
}

export function Empty({ title, children, action }: EmptyProps): ReactElement {
  return (
    <EmptyState titleText={title} headingLevel="h2" variant="sm">
      <EmptyStateBody>{children}</EmptyStateBody>
      {action !== undefined && (
        <EmptyStateFooter>
          <EmptyStateActions>{action}</EmptyStateActions>
        </EmptyStateFooter>
      )}
    </EmptyState>
  );
}

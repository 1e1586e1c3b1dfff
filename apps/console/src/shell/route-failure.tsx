import {
  Button,
  EmptyState,
  EmptyStateActions,
  EmptyStateBody,
  EmptyStateFooter,
} from '@patternfly/react-core';
import type { ReactElement } from 'react';
import { useRouteError } from 'react-router';

/** A page that cannot be loaded is, most often, of a release that the server does not have any more. */
export function RouteFailure(): ReactElement {
  const error = useRouteError();
  const message = error instanceof Error ? error.message : String(error);
  return (
    <EmptyState titleText="This page cannot be shown" headingLevel="h1" status="danger">
      <EmptyStateBody>
        {message}. Perhaps the server was updated: load the console again.
      </EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions>
          <Button onClick={() => location.reload()}>Load again</Button>
        </EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}

import { EmptyState, EmptyStateBody, PageSection } from '@patternfly/react-core';
import type { ReactElement } from 'react';
import { Link, useLocation } from 'react-router';

export function NoSuchPage(): ReactElement {
  const { pathname } = useLocation();
  return (
    <PageSection>
      <EmptyState titleText="There is no such page" headingLevel="h1">
        <EmptyStateBody>
          The console has no <code>{pathname}</code>. Begin at the <Link to="/">overview</Link>.
        </EmptyStateBody>
      </EmptyState>
    </PageSection>
  );
}

import {
  Breadcrumb,
  BreadcrumbItem,
  Content,
  Flex,
  FlexItem,
  PageSection,
  Title,
} from '@patternfly/react-core';
import { useEffect, type ReactElement, type ReactNode } from 'react';
import { Link } from 'react-router';

export interface PageHeadProps {
  readonly title: string;
  readonly about?: ReactNode;
  readonly parent?: { readonly title: string; readonly to: string };
  readonly actions?: ReactNode;
}

/** Heading, way back, acts; names the browser's tab too. */
export function PageHead({ title, about, parent, actions }: PageHeadProps): ReactElement {
  useEffect(() => {
    document.title = `${title} · Cyborg`;
  }, [title]);
  return (
    <PageSection>
      {parent !== undefined && (
        <Breadcrumb>
          <BreadcrumbItem
            render={({ className }) => (
              <Link className={className} to={parent.to}>
                {parent.title}
              </Link>
            )}
          />
          <BreadcrumbItem isActive>{title}</BreadcrumbItem>
        </Breadcrumb>
      )}
      <Flex justifyContent={{ default: 'justifyContentSpaceBetween' }}>
        <FlexItem>
          <Title headingLevel="h1">{title}</Title>
          {about !== undefined && <Content component="p">{about}</Content>}
        </FlexItem>
        {actions !== undefined && <FlexItem>{actions}</FlexItem>}
      </Flex>
    </PageSection>
  );
}

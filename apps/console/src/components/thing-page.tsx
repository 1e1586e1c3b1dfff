/** The page of one thing: a heading with its acts, panels below; while it is read or cannot be, that is said instead. */
import {
  Alert,
  Card,
  CardBody,
  CardTitle,
  Grid,
  GridItem,
  PageSection,
} from '@patternfly/react-core';
import type { ReactElement, ReactNode } from 'react';

import type { Reading } from '../api/read.ts';
import { Failure, Loading } from './outcomes.tsx';
import { PageHead, type PageHeadProps } from './page-head.tsx';

export interface ThingPageProps<Thing> {
  readonly reading: Reading<Thing>;
  /** What it is, in one word: `host`. */
  readonly what: string;
  /** Its heading until it is read. */
  readonly title: string;
  readonly parent: NonNullable<PageHeadProps['parent']>;
  readonly children: (thing: Thing) => ReactNode;
}

export function ThingPage<Thing>(props: ThingPageProps<Thing>): ReactElement {
  const { reading, what, title, parent, children } = props;
  const { data, error, again } = reading;
  if (error === null && data !== undefined) return <>{children(data)}</>;
  return (
    <>
      <PageHead title={title} parent={parent} />
      <PageSection isFilled>
        {error === null ? (
          <Loading what={`the ${what}`} />
        ) : (
          <Failure error={error} what={what} again={again} />
        )}
      </PageSection>
    </>
  );
}

export function Panels({ children }: { children: ReactNode }): ReactElement {
  return (
    <PageSection isFilled>
      <Grid hasGutter>{children}</Grid>
    </PageSection>
  );
}

/** Of twelve columns, where there is room for them beside each other. */
const columns = { whole: 12, wide: 7, half: 6, narrow: 5 } as const;

export interface PanelProps {
  readonly title: string;
  readonly width?: keyof typeof columns;
  readonly children: ReactNode;
}

export function Panel({ title, width = 'whole', children }: PanelProps): ReactElement {
  return (
    <GridItem span={12} xl={columns[width]}>
      <Card isFullHeight>
        <CardTitle component="h2">{title}</CardTitle>
        <CardBody>{children}</CardBody>
      </Card>
    </GridItem>
  );
}

export interface NoticeProps {
  readonly title: string;
  readonly isGrave?: boolean;
  readonly children?: ReactNode;
}

/** Above the panels: what one should know first. */
export function Notice({ title, isGrave = false, children }: NoticeProps): ReactElement {
  return (
    <GridItem span={12}>
      <Alert isInline variant={isGrave ? 'danger' : 'warning'} title={title}>
        {children}
      </Alert>
    </GridItem>
  );
}

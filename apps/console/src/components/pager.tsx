import { Button, Flex, FlexItem } from '@patternfly/react-core';
import type { ReactElement } from 'react';
import { useNavigate } from 'react-router';

import type { ListQuery } from './list-query.ts';

export interface PagerProps {
  readonly query: ListQuery;
  readonly next: string | null;
  readonly count: number;
}

/** Lists have a cursor and no page numbers: the way back is the browser's. */
export function Pager({ query, next, count }: PagerProps): ReactElement {
  const navigate = useNavigate();
  const isFirst = query.values['marker'] === undefined;
  return (
    <Flex component="nav" aria-label="Pages of the list" className="console-pager">
      <FlexItem>{isFirst && next === null ? `${count} in all` : `${count} on this page`}</FlexItem>
      {!(isFirst && next === null) && (
        <>
          <Button variant="secondary" isDisabled={isFirst} onClick={() => query.toMarker(null)}>
            First page
          </Button>
          <Button variant="secondary" isDisabled={isFirst} onClick={() => void navigate(-1)}>
            Back
          </Button>
          <Button
            variant="secondary"
            isDisabled={next === null}
            onClick={() => query.toMarker(next)}
          >
            Next page
          </Button>
        </>
      )}
    </Flex>
  );
}

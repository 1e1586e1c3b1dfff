import { Button, PageSection } from '@patternfly/react-core';
import { eventKinds } from '@cyborg/model/event-kinds';
import { useState, type ReactElement } from 'react';

import { useRead } from '../../api/read.ts';
import { EventTable } from '../../components/event-table.tsx';
import { Filters, type Filter } from '../../components/filters.tsx';
import { useFreshEvents, withFresh } from '../../components/fresh-events.ts';
import { pick, useListQuery } from '../../components/list-query.ts';
import { Empty, Failure, Loading } from '../../components/outcomes.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { Pager } from '../../components/pager.tsx';

const filters: readonly Filter[] = [
  { name: 'kind', label: 'Kind', options: eventKinds },
  { name: 'subject_id', label: 'Id of the subject' },
];

const rowsPerPage = 100;
const freshMax = 200;

export function EventsPage(): ReactElement {
  const query = useListQuery();
  const [isFollowing, setIsFollowing] = useState(true);
  return (
    <>
      <PageHead
        title="Events"
        about="Every committed change, the newest first."
        actions={
          <Button
            variant="secondary"
            aria-pressed={isFollowing}
            onClick={() => setIsFollowing(!isFollowing)}
          >
            {isFollowing ? 'Stop following' : 'Follow'}
          </Button>
        }
      />
      <PageSection isFilled>
        <Filters query={query} filters={filters} />
        <Events key={JSON.stringify([query.values, isFollowing])} isFollowing={isFollowing} />
      </PageSection>
    </>
  );
}

function Events({ isFollowing }: { isFollowing: boolean }): ReactElement {
  const query = useListQuery();
  const given = pick(query.values, ['kind', 'subject_id', 'marker'] as const);
  const { data, error, again } = useRead('listEvents', {
    query: { ...given, order: 'newest', limit: rowsPerPage },
  });
  const fresh = useFreshEvents({
    most: freshMax,
    kind: given.kind,
    subjectId: given.subject_id,
  });
  if (error !== null) return <Failure error={error} what="Events" again={again} />;
  if (data === undefined) return <Loading what="events" rows={10} />;
  const isShown = isFollowing && given.marker === undefined;
  const events = isShown ? withFresh(fresh, data.items) : data.items;
  if (events.length === 0) {
    return <Empty title="No events">Nothing has happened that these filters let through.</Empty>;
  }
  return (
    <>
      <EventTable events={events} />
      <Pager query={query} next={data.next} count={events.length} />
    </>
  );
}

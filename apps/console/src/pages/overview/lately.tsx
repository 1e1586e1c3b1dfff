import { Button } from '@patternfly/react-core';
import type { ReactElement } from 'react';
import { Link } from 'react-router';

import { useRead } from '../../api/read.ts';
import { EventTable } from '../../components/event-table.tsx';
import { useFreshEvents, withFresh } from '../../components/fresh-events.ts';
import { Empty, Failure, Loading } from '../../components/outcomes.tsx';

const shown = 12;

export function Lately(): ReactElement {
  const { data, error, again } = useRead('listEvents', {
    query: { order: 'newest', limit: shown },
  });
  const fresh = useFreshEvents({ most: shown });
  if (error !== null) return <Failure error={error} what="Events" again={again} />;
  if (data === undefined) return <Loading what="events" />;
  const events = withFresh(fresh, data.items).slice(0, shown);
  if (events.length === 0) return <Empty title="Nothing yet">What changes is shown here.</Empty>;
  return (
    <>
      <EventTable events={events} />
      <Button variant="link" isInline component={(props) => <Link {...props} to="/events" />}>
        All events
      </Button>
    </>
  );
}

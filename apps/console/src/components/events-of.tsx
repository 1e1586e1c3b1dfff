import type { ReactElement } from 'react';

import { useRead } from '../api/read.ts';
import { EventTable } from './event-table.tsx';
import { useFreshEvents, withFresh } from './fresh-events.ts';
import { Empty, Failure, Loading } from './outcomes.tsx';

const shown = 20;

/** The newest events about one thing. */
export function EventsOf({ subjectId }: { subjectId: string }): ReactElement {
  const { data, error, again } = useRead('listEvents', {
    query: { subject_id: subjectId, order: 'newest', limit: shown },
  });
  const fresh = useFreshEvents({ most: shown, subjectId });
  if (error !== null) return <Failure error={error} what="Events" again={again} />;
  if (data === undefined) return <Loading what="events" />;
  const events = withFresh(fresh, data.items).slice(0, shown);
  if (events.length === 0) return <Empty title="Nothing yet">What changes is shown here.</Empty>;
  return <EventTable events={events} isWhole />;
}

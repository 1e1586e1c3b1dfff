import type { ReactElement } from 'react';

import { useRead } from '../api/read.ts';
import { EventTable } from './event-table.tsx';
import { Empty, Failure, Loading } from './outcomes.tsx';

const shown = 20;

/** The newest events about one thing. */
export function EventsOf({ subjectId }: { subjectId: string }): ReactElement {
  const { data, error, again } = useRead('listEvents', {
    query: { subject_id: subjectId, order: 'newest', limit: shown },
  });
  if (error !== null) return <Failure error={error} what="Events" again={again} />;
  if (data === undefined) return <Loading what="events" />;
  if (data.items.length === 0)
    return <Empty title="Nothing yet">What changes is shown here.</Empty>;
  return <EventTable events={data.items} />;
}

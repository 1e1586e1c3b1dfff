import type { NewEvent } from '../record-event.ts';
import type { HostRow } from './find-host.ts';

export function hostEvent(
  row: Pick<HostRow, 'id' | 'name'>,
  kind: NewEvent['kind'],
  more: { readonly userId: string; readonly data?: Readonly<Record<string, unknown>> },
): NewEvent {
  return {
    kind,
    subjectKind: 'host',
    subjectId: row.id,
    hostId: row.id,
    userId: more.userId,
    data: { name: row.name, ...more.data },
  };
}

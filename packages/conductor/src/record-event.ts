/** Every committed change has its event in the same transaction (promise 2). */
import type { EventKind } from '@cyborg/model/event-kinds';
import { toJson } from '@cyborg/store/json';

import type { Act } from './transaction.ts';

export interface NewEvent {
  /** `<noun>.<what happened>`, e.g. `attachment.attached`. */
  readonly kind: EventKind;
  readonly subjectKind: string;
  readonly subjectId: string;
  readonly hostId?: string | null;
  /** Whose members may read it; null = admins only. */
  readonly projectId?: string | null;
  /** Who did it; null = the system. */
  readonly userId?: string | null;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** Writes events in one statement; they get their public numbers after commit, from the sequencer. */
export async function recordEvents(
  { tx, now, wakeUps }: Act,
  events: readonly NewEvent[],
): Promise<void> {
  if (events.length === 0) return;
  await tx
    .insertInto('event')
    .values(
      events.map((event) => ({
        at: now,
        kind: event.kind,
        subject_kind: event.subjectKind,
        subject_id: event.subjectId,
        host_id: event.hostId ?? null,
        project_id: event.projectId ?? null,
        user_id: event.userId ?? null,
        data: toJson(event.data ?? {}),
        number: null,
      })),
    )
    .execute();
  wakeUps.add('events-written');
}

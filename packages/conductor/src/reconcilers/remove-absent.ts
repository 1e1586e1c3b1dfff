/** Removes what has been absent for the configured grace and is free; with a grace of 0, nothing ever. */
import { sql } from 'kysely';

import type { ConductorDeps } from '../deps.ts';
import type { Reconciler } from '../reconciler.ts';
import { recordEvents } from '../record-event.ts';
import { act } from '../transaction.ts';

const periodMs = 60_000;
const devicesPerPass = 256;

/** A device goes when nothing of it is held, or waits to be reported after `accelerator-create`. */
export function removeAbsent(deps: ConductorDeps): Reconciler {
  return {
    name: 'remove-absent',
    periodMs,
    topics: [],
    async pass() {
      const graceMs = deps.limits.absentGraceSeconds * 1000;
      if (graceMs === 0) return { found: 0, full: false };
      const found = await act(deps, async (running) => {
        const before = new Date(running.now.getTime() - graceMs);
        const { rows } = await sql<{ id: string; host_id: string; key: string }>`
          delete from device where id in (
            select d.id from device d
            where d.presence = 'absent' and d.absent_since <= ${before} and not exists (
              select from accelerator a where a.device_id = d.id and (a.attachment_id is not null
                or a.state not in ('withheld', 'available') or a.presence = 'present' or a.created_by_request))
            order by d.id limit ${devicesPerPass} for update skip locked)
          returning id, host_id, key`.execute(running.tx);
        await recordEvents(
          running,
          rows.map(({ id, host_id, key }) => ({
            kind: 'device.removed',
            subjectKind: 'device',
            subjectId: id,
            hostId: host_id,
            data: { key, why: `absent for ${deps.limits.absentGraceSeconds} s` },
          })),
        );
        return rows.length;
      });
      return { found, full: found === devicesPerPass };
    },
  };
}

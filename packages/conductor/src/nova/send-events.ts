/**
 * The outbox: tells Nova that requests are bound, until Nova has it, or the server is gone, or it is not true any more.
 * Telling twice does no harm: Nova wakes whoever waits for it, and ignores it when nobody does.
 */
import type { AcceleratorEvent, EventResult, NovaClient } from '@cyborg/openstack/nova';
import { backoffMs } from '@cyborg/service/backoff';
import { traced } from '@cyborg/service/tracing';
import {
  claimNovaEvents,
  deleteNovaEvents,
  dropStaleNovaEvents,
  hasDueNovaEvents,
  putOffNovaEvents,
  type DueNovaEvent,
} from '@cyborg/store/nova/events';

import type { ConductorDeps } from '../deps.ts';
import type { PassReport, Reconciler } from '../reconciler.ts';
import { recordEvents } from '../record-event.ts';
import { conductorSpans } from '../spans.ts';
import { act } from '../transaction.ts';
import { claimOf } from './claim.ts';
import { novaLimits } from './limits.ts';

export function sendNovaEvents(deps: ConductorDeps, nova: NovaClient): Reconciler {
  return {
    name: 'send-nova-events',
    periodMs: deps.limits.idlePassMs,
    due: hasDueNovaEvents,
    topics: ['nova-events'],
    async pass(signal) {
      await dropStaleNovaEvents(deps.db);
      const limit = novaLimits.eventsPerPass;
      const rows = await claimNovaEvents(deps.db, claimOf(deps, limit));
      if (rows.length === 0) return { found: 0, full: false };
      const [parent, ...links] = rows.flatMap(({ trace_parent }) => trace_parent ?? []);
      const told = await traced(conductorSpans.tellNova, { parent, links }, () =>
        tell(nova, rows, signal),
      );
      if (told instanceof Error) deps.log.warn({ err: told }, 'Nova was not told');
      return { ...(await settle(deps, rows, told)), full: rows.length === limit };
    },
  };
}

/** The rows' results in their order, or why Nova took none of them. */
async function tell(
  nova: NovaClient,
  rows: readonly DueNovaEvent[],
  signal: AbortSignal,
): Promise<readonly EventResult[] | Error> {
  try {
    return await nova.sendEvents(rows.map(toEvent), { signal, timeoutMs: novaLimits.sendMs });
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function toEvent(row: DueNovaEvent): AcceleratorEvent {
  return { serverId: row.instance_id, arqId: row.attachment_id, status: row.status };
}

async function settle(
  deps: ConductorDeps,
  rows: readonly DueNovaEvent[],
  told: readonly EventResult[] | Error,
): Promise<Pick<PassReport, 'found' | 'notes'>> {
  const settled = rows.map((row, index) => ({
    row,
    result: told instanceof Error ? undefined : told[index],
  }));
  const done = settled.filter(({ row, result }) => isDone(row, result));
  const refused = done.filter(({ result }) => result?.outcome === 'refused');
  await act(deps, async (current) => {
    await deleteNovaEvents(
      current.tx,
      done.map(({ row }) => row.id),
    );
    const later = settled.filter((one) => !done.includes(one));
    await putOffNovaEvents(
      current.tx,
      later.map(({ row }) => ({ id: row.id, nextAttemptAt: nextAttempt(deps, current.now, row) })),
    );
    await recordEvents(
      current,
      refused.map(({ row, result }) => ({
        kind: 'attachment.nova-refused' as const,
        subjectKind: 'attachment',
        subjectId: row.attachment_id,
        data: { instance_id: row.instance_id, status: row.status, code: result?.code },
      })),
    );
  });
  return { found: rows.length, notes: { done: done.length, refused: refused.length } };
}

/** 422 is no refusal: the server has no host yet. */
function isDone(row: DueNovaEvent, result: EventResult | undefined): boolean {
  if (result === undefined || result.outcome === 'no-host') return false;
  return result.outcome !== 'refused' || row.attempts + 1 >= novaLimits.refusedAttemptsMax;
}

function nextAttempt(deps: ConductorDeps, now: Date, { attempts }: DueNovaEvent): Date {
  const { tellAgainFirstMs: firstMs, tellAgainMaxMs: maxMs } = novaLimits;
  return new Date(now.getTime() + backoffMs(attempts + 1, { firstMs, maxMs }, deps.rng));
}

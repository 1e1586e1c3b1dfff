/** What ledger and agent keep of functions: that it is as before, and what was told of each cleaning. */
import { eventually } from '@cyborg/testing/processes';

import { cards } from './attach.ts';
import type { LabGuest } from './guests.ts';
import { patientMs } from './lab.ts';
import type { Accelerator, Site } from './site.ts';

/** What is to be the same after an attach and a detach as before, when nothing is open and nothing left. */
export async function untilNothingOpen(
  site: Site,
  guest: LabGuest,
  addresses: readonly string[],
): Promise<object> {
  let seen: Awaited<ReturnType<typeof recordsOf>> | undefined;
  return await eventually(
    async () => {
      seen = await recordsOf(site, guest, addresses);
      const { attachments, unclaimed, open, noted } = seen;
      return [attachments, unclaimed, open, noted].flat().length === 0 && seen;
    },
    {
      timeoutMs: patientMs,
      pauseMs: 500,
      what: 'nothing is open',
      context: () => `${JSON.stringify(seen, null, 1)}\n${site.logs()}`,
    },
  );
}

async function recordsOf(site: Site, guest: LabGuest, addresses: readonly string[]) {
  const accelerators: Accelerator[] = [];
  for (const address of addresses) accelerators.push(await site.at(address));
  const { items: attachments } = await site.v3.listAttachments({
    params: { instance_id: guest.uuid },
  });
  const { items: unclaimed } = await site.v3.listUnclaimed({ query: {} });
  const { items: operations } = await site.v3.listOperations({ query: { limit: 50 } });
  const notes = await site.lab.run('cat /lab/state/agent/bindings.json 2> /dev/null || true');
  return {
    accelerators: accelerators.map(lasting),
    attachments,
    unclaimed,
    open: operations.filter(({ state }) => !['succeeded', 'failed', 'cancelled'].includes(state)),
    noted: addresses.filter((address) => notes.includes(address)),
  };
}

function lasting(accelerator: Accelerator): object {
  return { ...accelerator, updated_at: null };
}

export const nothingOpen = { attachments: [], unclaimed: [], open: [], noted: [] } as const;

/** How each kind of function is reset in the lab, as its evidence says it. */
export const resets: ReadonlyMap<string, string> = new Map([
  [cards.nvmeVf, 'reset by flr'],
  [cards.display, 'reset by bus'],
]);

/** The number of the newest event. */
export async function eventsUntilNow(site: Site): Promise<number> {
  const { items } = await site.v3.listEvents({ query: { order: 'newest', limit: 1 } });
  return items[0]?.number ?? 0;
}

/** Evidence of each cleaning of the accelerator since then. */
export async function cleaningsSince(
  site: Site,
  after: number,
  { id }: Pick<Accelerator, 'id'>,
): Promise<string[]> {
  const query = { after, kind: 'accelerator.cleaned', subject_id: id, limit: 1000 };
  const { items } = await site.v3.listEvents({ query });
  return items.map(({ data }) => JSON.stringify(data['evidence']));
}

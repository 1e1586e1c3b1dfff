/** The invariants, read from the ledger's rows, the API and the simulated hypervisors' files at once. */
import { deviceName } from '@cyborg/model/epoch';
import { eventually } from '@cyborg/testing/processes';

import { actMs, type Fleet } from './fleet.ts';

/** Epochs only rise: remembered from check to check. */
export class Epochs {
  readonly #seen = new Map<string, number>();

  /** @returns what went wrong. */
  note(id: string, epoch: number): string[] {
    const before = this.#seen.get(id) ?? 0;
    this.#seen.set(id, epoch);
    return epoch < before ? [`epoch of ${id} fell from ${before} to ${epoch}`] : [];
  }
}

/** Waits until nothing moves any more, then until ledger, API and world say the same. */
export async function settled(
  fleet: Fleet,
  { withinMs = actMs, epochs }: { withinMs?: number; epochs?: Epochs } = {},
): Promise<void> {
  let last: string[] = [];
  await eventually(
    async () => {
      last = await troubles(fleet, epochs);
      return last.length === 0;
    },
    {
      timeoutMs: withinMs,
      what: 'everything is settled',
      pauseMs: 60,
      context: () => `${last.join('\n')}\n${fleet.logs()}`,
    },
  );
}

async function troubles(fleet: Fleet, epochs: Epochs | undefined): Promise<string[]> {
  const { items: operations } = await fleet.v3.listOperations({ query: { limit: 1000 } });
  const accelerators = await fleet.accelerators();
  const { items: instances } = await fleet.v3.listInstances({ query: { limit: 1000 } });
  const attachments = [];
  const miscounted: string[] = [];
  for (const { id, attachments_total: total } of instances) {
    const { items } = await fleet.v3.listAttachments({ params: { instance_id: id }, query: {} });
    const live = items.filter(({ state }) => state !== 'released');
    if (live.length !== total)
      miscounted.push(`instance ${id} counts ${total} attachments, it has ${live.length}`);
    attachments.push(...live);
  }
  return [
    ...miscounted,
    ...operations
      .filter(({ state }) => ['queued', 'running', 'waiting'].includes(state))
      .map((operation) => `operation still open: ${JSON.stringify(operation)}`),
    ...accelerators
      .filter(({ state }) => !['available', 'withheld', 'attached', 'orphaned'].includes(state))
      .map(({ id, state, reason }) => `accelerator ${id} is ${state} (${reason})`),
    ...attachments
      .filter(({ state }) => state !== 'attached')
      .map(({ id, state, reason }) => `attachment ${id} is ${state} (${reason})`),
    ...differences(
      'accelerators that are attached, attachments',
      accelerators
        .filter(({ state }) => state === 'attached')
        .map((one) => `${one.id} ${one.attachment_id}`),
      attachments.map((one) => `${one.accelerator_id} ${one.id}`),
    ),
    ...differences(
      'devices in the ledger, in the hypervisors',
      attachments.map((one) => `${one.device_name}`),
      [...fleet.hosts.values()].flatMap((host) => host.devices()),
    ),
    ...(await ledgerTroubles(fleet, epochs)),
  ];
}

async function ledgerTroubles(fleet: Fleet, epochs: Epochs | undefined): Promise<string[]> {
  if (fleet.isEmbedded) return [];
  const { db } = fleet;
  const held = await db
    .selectFrom('attachment')
    .select(['id', 'accelerator_id', 'device_epoch', 'state'])
    .where('state', 'not in', ['released', 'requested'])
    .execute();
  const rows = await db
    .selectFrom('accelerator')
    .select(['id', 'epoch', 'attachment_id'])
    .execute();
  const twice = held.filter((one, at) =>
    held.some((other, to) => to < at && other.accelerator_id === one.accelerator_id),
  );
  return [
    ...twice.map(({ accelerator_id: id }) => `${id} has two live attachments`),
    ...rows.flatMap(({ id, epoch }) => epochs?.note(id, Number(epoch)) ?? []),
    ...differences(
      'devices in the rows, in the hypervisors',
      held.map((one) => deviceName(one.id, Number(one.device_epoch))),
      [...fleet.hosts.values()].flatMap((host) => host.devices()),
    ),
  ];
}

function differences(what: string, ours: readonly string[], theirs: readonly string[]): string[] {
  const left = ours.toSorted().join('\n');
  const right = theirs.toSorted().join('\n');
  return left === right ? [] : [`${what} differ:\n${left}\n--\n${right}`];
}

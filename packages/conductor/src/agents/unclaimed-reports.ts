/** Devices of ours that a host found unasked: noted and left alone, until an operator adopts or releases them. */
import { liveAttachmentStates } from '@cyborg/model/attachment-lifecycle';
import { deviceName, parseDeviceName } from '@cyborg/model/epoch';

import type { ConductorDeps } from '../deps.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import type { AgentHost } from './credentials.ts';

export interface UnclaimedReport {
  readonly instance_id: string;
  readonly device_name: string;
}

/** `found` is the complete list of the host. */
export async function applyUnclaimed(
  deps: Pick<ConductorDeps, 'rng'>,
  act: Act,
  { host, found: all }: { readonly host: AgentHost; readonly found: readonly UnclaimedReport[] },
): Promise<void> {
  const { tx, now } = act;
  const found = await withoutClaimed(tx, host, all);
  const known = await tx
    .selectFrom('unclaimed')
    .select(['id', 'instance_id', 'device_name', 'ordered'])
    .where('host_id', '=', host.id)
    .execute();
  const nameOf = (item: UnclaimedReport): string => `${item.instance_id} ${item.device_name}`;
  const foundNames = new Set(found.map(nameOf));
  const knownNames = new Set(known.map(nameOf));
  const fresh = [...new Map(found.map((item) => [nameOf(item), item])).values()]
    .filter((item) => !knownNames.has(nameOf(item)))
    .map((item) => ({ ...item, id: deps.rng.uuid() }));
  const gone = known.filter((item) => !foundNames.has(nameOf(item)));
  if (fresh.length > 0) {
    await tx
      .insertInto('unclaimed')
      .values(
        fresh.map((item) => ({ ...item, host_id: host.id, first_seen_at: now, created_at: now })),
      )
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  if (gone.length > 0) {
    const ids = gone.map(({ id }) => id);
    await tx.deleteFrom('unclaimed').where('id', 'in', ids).execute();
    act.wakeUps.add(`host:${host.id}`);
  }
  await recordEvents(act, [
    ...fresh.map((item) => eventOf(host, 'unclaimed.found', item)),
    ...gone.map((item) =>
      eventOf(host, item.ordered === 'release' ? 'unclaimed.released' : 'unclaimed.gone', item),
    ),
  ]);
}

/** An agent that has not heard of an adoption yet still reports the device: the ledger knows better. */
async function withoutClaimed(
  tx: Act['tx'],
  host: AgentHost,
  found: readonly UnclaimedReport[],
): Promise<UnclaimedReport[]> {
  const ids = found.flatMap(({ device_name }) => parseDeviceName(device_name)?.attachmentId ?? []);
  if (ids.length === 0) return [...found];
  const held = await tx
    .selectFrom('attachment')
    .select(['id', 'instance_id', 'device_epoch'])
    .where('id', 'in', ids)
    .where('host_id', '=', host.id)
    .where('state', 'in', liveAttachmentStates)
    .execute();
  const claimed = new Set(
    held.map((row) => `${row.instance_id} ${deviceName(row.id, row.device_epoch)}`),
  );
  return found.filter((item) => !claimed.has(`${item.instance_id} ${item.device_name}`));
}

function eventOf(
  host: AgentHost,
  kind: NewEvent['kind'],
  { id, instance_id, device_name }: UnclaimedReport & { readonly id: string },
): NewEvent {
  return {
    kind,
    subjectKind: 'unclaimed',
    subjectId: id,
    hostId: host.id,
    data: { instance_id, device_name },
  };
}

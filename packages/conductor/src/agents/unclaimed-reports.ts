/** Devices of ours that a host found unasked: noted and left alone, until an operator adopts or releases them. */
import { isDeepStrictEqual } from 'node:util';

import { liveAttachmentStates } from '@cyborg/model/attachment-lifecycle';
import { deviceName, parseDeviceName } from '@cyborg/model/epoch';
import type { UnclaimedRow } from '@cyborg/store/unclaimed';

import type { ConductorDeps } from '../deps.ts';
import { normalPciAddress } from '../inventory/claims.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import { holdFound } from '../unclaimed/hold-found.ts';
import type { AgentHost } from './credentials.ts';

/** The agent API's `UnclaimedReport`. */
export interface UnclaimedReport {
  readonly instance_id: string;
  readonly device_name: string;
  readonly accelerator_id?: string | null | undefined;
  readonly address?: string | null | undefined;
  readonly reason?: string | null | undefined;
}

interface Found {
  readonly instance_id: string;
  readonly device_name: string;
  readonly accelerator_id: string | null;
  readonly address: string | null;
  readonly reason: string | null;
}

type Known = Found & Pick<UnclaimedRow, 'id' | 'ordered'>;

/** `found` is the complete list of the host. What it has of accelerators that are on offer leaves the offer. */
export async function applyUnclaimed(
  deps: Pick<ConductorDeps, 'rng' | 'ledger' | 'limits'>,
  act: Act,
  { host, found: all }: { readonly host: AgentHost; readonly found: readonly UnclaimedReport[] },
): Promise<void> {
  const { tx } = act;
  const claimed = await withoutClaimed(tx, host, all);
  const found = new Map(claimed.map((item) => [nameOf(item), toFound(item)]));
  const known: readonly Known[] = await tx
    .selectFrom('unclaimed')
    .select(['id', 'instance_id', 'device_name', 'accelerator_id', 'address', 'reason', 'ordered'])
    .where('host_id', '=', host.id)
    .execute();
  const knownNames = new Set(known.map(nameOf));
  const fresh = [...found]
    .filter(([name]) => !knownNames.has(name))
    .map(([, item]) => ({ ...item, id: deps.rng.uuid() }));
  const gone = known.filter((item) => !found.has(nameOf(item)));
  const changed = known.flatMap((before) => {
    const after = withNews(before, found.get(nameOf(before)));
    return isDeepStrictEqual(before, after) ? [] : [{ before, after }];
  });
  await write(act, host, { fresh, gone, changed: changed.map(({ after }) => after) });
  await recordEvents(act, [
    ...fresh.map((item) => eventOf(host, 'unclaimed.found', item)),
    ...changed
      .filter(({ before, after }) => after.reason !== null && after.reason !== before.reason)
      .map(({ after }) => eventOf(host, 'unclaimed.release-waits', after)),
    ...gone.map((item) =>
      eventOf(host, item.ordered === 'release' ? 'unclaimed.released' : 'unclaimed.gone', item),
    ),
  ]);
  if (fresh.length + changed.length > 0) await holdFound(act, deps, { hostId: host.id });
}

function nameOf(item: UnclaimedReport): string {
  return `${item.instance_id} ${item.device_name}`;
}

function toFound(item: UnclaimedReport): Found {
  const { instance_id, device_name, accelerator_id = null, address = null, reason = null } = item;
  const normal = address === null ? null : normalPciAddress(address);
  return { instance_id, device_name, accelerator_id, address: normal, reason };
}

/** Which accelerator it is does not change, also when its host has forgotten. */
function withNews(before: Known, said: Found | undefined): Known {
  if (said === undefined) return before;
  return {
    ...before,
    accelerator_id: said.accelerator_id ?? before.accelerator_id,
    address: said.address ?? before.address,
    reason: said.reason,
  };
}

async function write(
  { tx, now, wakeUps }: Act,
  host: AgentHost,
  {
    fresh,
    gone,
    changed,
  }: {
    readonly fresh: readonly (Found & { readonly id: string })[];
    readonly gone: readonly Known[];
    readonly changed: readonly Known[];
  },
): Promise<void> {
  if (fresh.length > 0) {
    const made = { host_id: host.id, first_seen_at: now, created_at: now };
    await tx
      .insertInto('unclaimed')
      .values(fresh.map((item) => ({ ...item, ...made })))
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
  for (const { id, accelerator_id, address, reason } of changed) {
    const said = { accelerator_id, address, reason, updated_at: now };
    await tx.updateTable('unclaimed').set(said).where('id', '=', id).execute();
  }
  if (gone.length > 0) {
    const ids = gone.map(({ id }) => id);
    await tx.deleteFrom('unclaimed').where('id', 'in', ids).execute();
    wakeUps.add(`host:${host.id}`);
  }
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
  {
    id,
    instance_id,
    device_name,
    accelerator_id,
    address,
    reason,
  }: Found & { readonly id: string },
): NewEvent {
  return {
    kind,
    subjectKind: 'unclaimed',
    subjectId: id,
    hostId: host.id,
    data: { instance_id, device_name, accelerator_id, address, reason },
  };
}

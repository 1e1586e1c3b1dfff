/**
 * A thing that two backends of one host report belongs to the one that has it: nothing is ever offered twice (promise 1).
 * Whoever comes second is withheld, naming the first, and looks again when the first lets go.
 */
import { sql } from 'kysely';

import type { Act } from '../transaction.ts';
import type { Applying } from './applying.ts';
import { claimOfHandle, sharedBy, type Claim } from './claims.ts';
import { acceleratorsOf, type ReportedAccelerator } from './parse.ts';
import type { AcceleratorRow } from './rows.ts';

/** Answers the backend that has it already. */
export type TakenBy = (
  item: ReportedAccelerator,
  of: { readonly address: string | null; readonly known: AcceleratorRow | undefined },
) => string | undefined;

/** What is said of one that came second. */
export function secondTo(backend: string): string {
  return `backend ${backend} has the same function already`;
}

const cameSecond = /^backend \S+ has the same function already$/;
const heldStates: ReadonlySet<string> = new Set([
  'reserved',
  'attached',
  'orphaned',
  'cleaning',
  'cleaning_failed',
  'updating',
]);

export function isHeld(state: string): boolean {
  return heldStates.has(state);
}

type Having = Pick<AcceleratorRow, 'state' | 'presence' | 'host_use'>;

/** What is held, or not clean, is not let go of by absence. */
function has({ state, presence, host_use }: Having): boolean {
  if (isHeld(state)) return true;
  return presence === 'present' && !cameSecond.test(host_use ?? '');
}

/** Inventories of one host take turns: of two that come at once, one is the second. */
export async function takeTurns({ tx }: Pick<Act, 'tx'>, hostId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`inventory ${hostId}`}, 0))`.execute(
    tx,
  );
}

export async function readTaken({ act, backend, inventory }: Applying): Promise<TakenBy> {
  const claims = inventory.devices.flatMap((device) =>
    acceleratorsOf(device).map((item) => claimOfHandle(item.attach_info, device.address)),
  );
  if (!claims.some((claim) => namesIn(claim).length > 0)) return () => undefined;
  const rows = await act.tx
    .selectFrom('accelerator')
    .innerJoin('backend', 'backend.id', 'accelerator.backend_id')
    .innerJoin('device', 'device.id', 'accelerator.device_id')
    .select(['accelerator.state', 'accelerator.presence', 'accelerator.host_use'])
    .select(['accelerator.attach_info', 'device.address', 'backend.name as backend'])
    .where('accelerator.host_id', '=', backend.host_id)
    .where('accelerator.backend_id', '<>', backend.id)
    .execute();
  const theirs = new Map<string, { readonly claim: Claim; readonly backend: string }[]>();
  for (const row of rows.filter(has)) {
    const claim = claimOfHandle(row.attach_info, row.address);
    for (const name of namesIn(claim)) {
      theirs.set(name, [...(theirs.get(name) ?? []), { claim, backend: row.backend }]);
    }
  }
  return (item, { address, known }) => {
    if (known !== undefined && has(known)) return undefined;
    const claim = claimOfHandle(item.attach_info, address);
    const meeting = namesIn(claim).flatMap((name) => theirs.get(name) ?? []);
    return meeting.find((other) => sharedBy(claim, other.claim) !== undefined)?.backend;
  };
}

function namesIn({ whole, part }: Claim): string[] {
  return [whole, part].filter((name) => name !== undefined);
}

/** Others that came second to what is gone now report it anew. */
export async function letOthersLookAgain({ act, backend }: Applying): Promise<void> {
  await sql`update backend set inventory_hash = null
    where host_id = ${backend.host_id} and id <> ${backend.id} and id in (
      select backend_id from accelerator
      where host_id = ${backend.host_id} and host_use = ${secondTo(backend.name)})`.execute(act.tx);
}

/** The agent's side of the ledger: what waits for a host, what it should hold, and what it says of both. */
import {
  listHostHeld,
  listHostOrders,
  listTakenFunctions,
  readOrderFingerprints,
  type HeldRow,
  type OrderRow,
  type TakenFunctionRow,
} from '@cyborg/store/orders';

import type { Db } from '../deps.ts';
import { idFromMarker, toPage, type Page } from '../page.ts';

export type OrderView = OrderRow;
export type HeldView = HeldRow;
export type TakenView = TakenFunctionRow;

const heldPerPage = 1000;
/** More than a host has slots for. */
const takenFunctionsMax = 4096;

/** At most `limit` orders; `more` when others wait behind them. */
export async function listOrders(
  db: Db,
  hostId: string,
  limit: number,
): Promise<{ orders: OrderView[]; more: boolean }> {
  const rows = await listHostOrders(db, hostId, limit + 1);
  return { orders: rows.slice(0, limit), more: rows.length > limit };
}

/** One query for all hosts; a host without orders is not in the answer. */
export function ordersFingerprint(
  db: Db,
  hostIds: readonly string[],
): Promise<Map<string, string>> {
  return readOrderFingerprints(db, hostIds);
}

/** @throws ServiceError `invalid-input` on a marker that is not ours. */
export async function listHeld(
  db: Db,
  hostId: string,
  marker: string | undefined,
): Promise<Page<HeldView>> {
  const after = idFromMarker(marker);
  const rows = await listHostHeld(db, { hostId, after, limit: heldPerPage + 1 });
  return toPage(
    rows,
    { limit: heldPerPage },
    { keyOf: (row) => [row.attachment_id], toItem: (row) => row },
  );
}

/** For an agent that has lost its notes of what it bound. */
export function listTaken(db: Db, hostId: string): Promise<TakenView[]> {
  return listTakenFunctions(db, hostId, takenFunctionsMax);
}

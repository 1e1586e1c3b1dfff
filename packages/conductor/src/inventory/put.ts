/** One backend's whole inventory, content-addressed: the same twice changes nothing. */
import { ServiceError } from '@cyborg/model/errors';

import type { AgentHost } from '../agents/credentials.ts';
import { checkHolder, checkLedger, type LedgerRef } from '../agents/ledger-check.ts';
import type { ConductorDeps } from '../deps.ts';
import { recordEvents } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';
import { applyInventory } from './apply.ts';
import { parseInventory } from './parse.ts';
import { takeTurns } from './taken.ts';

export interface InventoryBody {
  readonly instance: string;
  readonly ledger: LedgerRef;
  readonly hash: string;
  readonly generation: number;
  readonly devices: unknown;
  readonly services: unknown;
}

/** @throws ServiceError `invalid-input` naming the field that is nonsense: the last good inventory stays. */
export async function putInventory(
  deps: ConductorDeps,
  host: AgentHost,
  { backendId, body }: { backendId: string; body: InventoryBody },
): Promise<null> {
  checkLedger(deps.ledger, body.ledger);
  const inventory = parseInventory(body);
  await act(deps, async (running) => {
    const { tx, now } = running;
    await takeTurns(running, host.id);
    const backend = await lockBackend(running, { host, backendId, instance: body.instance });
    if (backend.inventory_hash === body.hash || body.generation < backend.generation) return;
    await applyInventory(deps, running, { backend, inventory });
    await tx
      .updateTable('backend')
      .set({ inventory_hash: body.hash, inventory_changed_at: now })
      .where('id', '=', backend.id)
      .execute();
    if (backend.inventory_hash === null) await noteFirst(running, { host, backendId });
    running.wakeUps.add('deployments');
  });
  return null;
}

interface LockedBackend {
  readonly id: string;
  readonly name: string;
  readonly host_id: string;
  readonly driver_id: string;
  readonly generation: number;
  readonly inventory_hash: string | null;
}

/** Two uploads of one backend take turns on its row. */
async function lockBackend(
  { tx, now }: Act,
  given: { host: AgentHost; backendId: string; instance: string },
): Promise<LockedBackend> {
  const row = await tx
    .selectFrom('backend')
    .innerJoin('host', 'host.id', 'backend.host_id')
    .select(['backend.id', 'backend.name', 'backend.host_id', 'backend.driver_id'])
    .select(['backend.generation', 'backend.inventory_hash'])
    .select(['host.agent_instance', 'host.lease_expires_at'])
    .where('backend.id', '=', given.backendId)
    .where('backend.host_id', '=', given.host.id)
    .where('backend.state', '<>', 'removing')
    .forUpdate('backend')
    .executeTakeFirst();
  if (row === undefined) {
    throw new ServiceError(
      'backend-not-found',
      `Host ${given.host.name} has no backend ${given.backendId}: look at the desired state again.`,
    );
  }
  checkHolder(row, given.instance, now);
  return row;
}

async function noteFirst(
  running: Act,
  { host, backendId }: { host: AgentHost; backendId: string },
): Promise<void> {
  const { tx, now } = running;
  await recordEvents(running, [
    {
      kind: 'backend.first-inventory',
      subjectKind: 'backend',
      subjectId: backendId,
      hostId: host.id,
    },
  ]);
  await tx
    .updateTable('host')
    .set({ first_inventory_at: now })
    .where('id', '=', host.id)
    .where('first_inventory_at', 'is', null)
    .execute();
}

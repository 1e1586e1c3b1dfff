/** An unchanged inventory costs one small request, one read and no write. */
import type { ConductorDeps } from '../deps.ts';
import type { AgentHost } from '../agents/credentials.ts';
import { checkHolder, checkLedger, type LedgerRef } from '../agents/ledger-check.ts';

export interface OfferBody {
  readonly instance: string;
  readonly ledger: LedgerRef;
  readonly backends: readonly {
    readonly backend_id: string;
    readonly hash: string;
    readonly generation: number;
  }[];
}

/**
 * Answers which inventories the ledger does not have yet. One of an older generation than is wanted now is not asked
 * for: it may still show what has been taken away since.
 */
export async function offerInventories(
  { db, ledger, clock }: ConductorDeps,
  host: AgentHost,
  body: OfferBody,
): Promise<{ wanted: string[] }> {
  checkLedger(ledger, body.ledger);
  const rows = await db
    .selectFrom('host')
    .leftJoin('backend', (join) =>
      join.onRef('backend.host_id', '=', 'host.id').on('backend.state', '<>', 'removing'),
    )
    .select(['backend.id', 'backend.inventory_hash', 'backend.generation'])
    .select(['host.agent_instance', 'host.lease_expires_at'])
    .where('host.id', '=', host.id)
    .execute();
  const [first] = rows;
  checkHolder(
    first ?? { agent_instance: null, lease_expires_at: null },
    body.instance,
    clock.now(),
  );
  const known = new Map(rows.map((row) => [row.id, row]));
  const wanted = body.backends.filter(({ backend_id, hash, generation }) => {
    const row = known.get(backend_id);
    return row !== undefined && row.inventory_hash !== hash && generation >= (row.generation ?? 0);
  });
  return { wanted: wanted.map(({ backend_id }) => backend_id) };
}

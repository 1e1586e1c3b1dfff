/** What Nova binds counts in the project's quota as what is attached to a running instance does. */
import { V2Fault } from '@cyborg/model/v2/fault';
import { countHeldByType } from '@cyborg/store/attach-context';
import { lockQuotas, type QuotaRow } from '@cyborg/store/quotas';

import type { Tx } from '../../deps.ts';

export type QuotasByProject = ReadonlyMap<string, readonly QuotaRow[]>;

interface Wanted {
  readonly step: { readonly projectId: string };
  readonly accelerator: { readonly type: string };
}

/** Before anything is picked, as for an attach: two reservations of one project count one after the other. */
export async function lockV2Quotas(
  tx: Tx,
  projectIds: readonly string[],
): Promise<QuotasByProject> {
  const quotas = new Map<string, readonly QuotaRow[]>();
  for (const id of projectIds.toSorted()) quotas.set(id, await lockQuotas(tx, id));
  return quotas;
}

/** @throws V2Fault 403, as OpenStack's services say it */
export async function checkV2Quota(
  tx: Tx,
  quotas: QuotasByProject,
  picks: readonly Wanted[],
): Promise<void> {
  for (const [projectId, limits] of quotas) {
    if (limits.length === 0) continue;
    const held = await countHeldByType(tx, projectId);
    for (const { type, accelerators_max: max } of limits) {
      const wanted = picks.filter(
        ({ step, accelerator }) => step.projectId === projectId && accelerator.type === type,
      ).length;
      const used = held.get(type) ?? 0;
      if (wanted === 0 || used + wanted <= max) continue;
      throw new V2Fault(
        403,
        `Quota exceeded: project ${projectId} holds ${used} of at most ${max} accelerators of type ${type}, and this asks for ${wanted} more.`,
      );
    }
  }
}

/** What an agent reports, in one transaction: orders that ended, states, instances, what nobody claims. */
import type { ConductorDeps } from '../deps.ts';
import { applyListing, type InstanceListing } from '../instances/listings.ts';
import { applyObservations, type Observation } from '../orders/observations.ts';
import { applyOutcomes, type Outcome } from '../orders/outcomes.ts';
import { applyProgramOutcomes } from '../programs/report-outcomes.ts';
import { act } from '../transaction.ts';
import { applyBackendReports, type BackendReport } from './backend-reports.ts';
import type { AgentHost } from './credentials.ts';
import { applyInstallationReports, type InstallationReport } from './installation-reports.ts';
import { checkHolder, checkLedger, type LedgerRef } from './ledger-check.ts';
import { applyUnclaimed, type UnclaimedReport } from './unclaimed-reports.ts';

export interface ReportBody {
  readonly instance: string;
  readonly ledger: LedgerRef;
  readonly outcomes: readonly Outcome[];
  readonly installations: readonly InstallationReport[];
  readonly backends: readonly BackendReport[];
  readonly listings: readonly InstanceListing[];
  readonly observations: readonly Observation[];
  readonly unclaimed: readonly UnclaimedReport[] | null;
}

/** @throws ServiceError `wrong-ledger`, `agent-already-running`: nothing of the report counts then. */
export async function takeReport(
  deps: ConductorDeps,
  host: AgentHost,
  body: ReportBody,
): Promise<null> {
  checkLedger(deps.ledger, body.ledger);
  await act(deps, async (running) => {
    const holder = await running.tx
      .selectFrom('host')
      .select(['agent_instance', 'lease_expires_at'])
      .where('id', '=', host.id)
      .executeTakeFirst();
    const none = { agent_instance: null, lease_expires_at: null };
    checkHolder(holder ?? none, body.instance, running.now);
    // Instances, installations, backends, accelerators: the order in which every act locks them.
    for (const listing of body.listings) await applyListing(deps, running, { host, listing });
    await applyInstallationReports(running, host, body.installations);
    await applyBackendReports(running, host, body.backends);
    await applyOutcomes(running, deps, { host, outcomes: body.outcomes });
    await applyObservations(running, deps, { host, observations: body.observations });
    if (body.unclaimed !== null) {
      await applyUnclaimed(deps, running, { host, found: body.unclaimed });
    }
  });
  const updates = body.outcomes.filter(({ kind }) => kind === 'update');
  await applyProgramOutcomes(deps, host, updates);
  return null;
}

/** The reconcilers that keep hosts, installations and devices true. */
import { advanceHostOperations } from '../deployments/advance-operations.ts';
import { rollOut } from '../deployments/roll-out.ts';
import type { ConductorDeps } from '../deps.ts';
import type { Reconciler } from '../reconciler.ts';
import { markHostsDown } from './mark-hosts-down.ts';
import { removeAbsent } from './remove-absent.ts';
import { settleOrphans } from './settle-orphans.ts';
import { uninstallDrained } from './uninstall-drained.ts';

export function fleetReconcilers(deps: ConductorDeps): Reconciler[] {
  return [
    rollOut(deps),
    advanceHostOperations(deps),
    markHostsDown(deps),
    removeAbsent(deps),
    settleOrphans(deps),
    uninstallDrained(deps),
  ];
}

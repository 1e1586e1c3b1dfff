/** What is done with Nova in the background; nothing without one. */
import type { ConductorDeps } from '../deps.ts';
import { allocationReconcilers } from '../placement/allocations.ts';
import type { Reconciler } from '../reconciler.ts';
import { followNovaChanges } from './follow-changes.ts';
import { lookAtServers } from './look-at-servers.ts';
import { sendNovaEvents } from './send-events.ts';

export function novaReconcilers(deps: ConductorDeps): Reconciler[] {
  const { nova, placement } = deps.openstack ?? {};
  return [
    ...(nova === undefined
      ? []
      : [sendNovaEvents(deps, nova), lookAtServers(deps, nova), followNovaChanges(deps, nova)]),
    ...(placement === undefined ? [] : allocationReconcilers(deps, placement)),
  ];
}

/** What a person sees first: capacity, hosts, and what needs somebody. */
import {
  countByTypeAndState,
  countHostsAndInstances,
  listAttention,
  type AttentionRow,
  type CapacityRow,
  type SummaryScope,
} from '@cyborg/store/summary';

import type { ConductorDeps } from '../deps.ts';
import type { Handler, Input } from '../handler.ts';
import {
  acceleratorsInScope,
  backendsInScope,
  hostsInScope,
  instancesInScope,
  ownInScope,
  scopeOf,
  type Scope,
} from '../scope.ts';

/** Of one kind of trouble: who has more of it looks at the list. */
const attentionEachMax = 20;

export interface SummaryView {
  readonly accelerators: readonly CapacityRow[];
  readonly hosts: { readonly up: number; readonly down: number };
  readonly instances_total: number;
  readonly attention: readonly AttentionRow[];
}

export interface SummaryHandlers {
  readonly showSummary: Handler<Input, SummaryView>;
}

export function makeSummaryHandlers({
  db,
  clock,
}: Pick<ConductorDeps, 'db' | 'clock'>): SummaryHandlers {
  return {
    async showSummary(caller) {
      const scope = conditionsOf(scopeOf(caller));
      const now = clock.now();
      const { up, down, instances } = await countHostsAndInstances(db, scope, now);
      return {
        accelerators: await countByTypeAndState(db, scope),
        hosts: { up, down },
        instances_total: instances,
        attention: await listAttention(db, scope, { now, each: attentionEachMax }),
      };
    },
  };
}

function conditionsOf(scope: Scope): SummaryScope {
  return {
    accelerators: acceleratorsInScope(scope),
    hosts: hostsInScope(scope),
    backends: backendsInScope(scope),
    instances: instancesInScope(scope),
    attachments: ownInScope(scope, 'attachment'),
    seesUnclaimed: scope.kind === 'all',
  };
}

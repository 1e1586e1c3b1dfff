/** Accelerators as callers see them. */
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { findAccelerator, type ListedAcceleratorRow } from '@cyborg/store/accelerators';

import { unusableBackends } from '../attachments/fitting.ts';
import type { Db } from '../deps.ts';
import { acceleratorsInScope, mayName, scopeOf, type Scope } from '../scope.ts';

export interface AcceleratorView {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly type: string;
  readonly driver_id: string;
  readonly backend: string;
  readonly host: string;
  readonly device_id: string;
  readonly deployable_id: string;
  readonly address: string | null;
  readonly numa_node: number | null;
  readonly resource_class: string;
  readonly traits: readonly string[];
  readonly plans: readonly string[];
  readonly attach_info: Readonly<Record<string, string>>;
  readonly iommu_group: number | null;
  readonly pcie_root: string | null;
  readonly resetless_reason: string | null;
  readonly state: string;
  readonly reason: string | null;
  readonly presence: 'present' | 'absent' | 'stale';
  readonly absent_since: Date | null;
  readonly health: string;
  readonly reserved_for: string | null;
  readonly instance_id: string | null;
  readonly project_id: string | null;
  readonly attachment_id: string | null;
  readonly simulated: boolean;
  readonly created_at: Date;
  readonly updated_at: Date | null;
}

/** Who holds it is shown to those who may know; others see only that it is held. */
export function toAcceleratorView(row: ListedAcceleratorRow, scope: Scope): AcceleratorView {
  const isNamed = mayName(scope, row.project_id);
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    labels: row.labels,
    type: row.type,
    driver_id: row.driver_id,
    backend: row.backend,
    host: row.host,
    device_id: row.device_id,
    deployable_id: row.deployable_id,
    address: row.address,
    numa_node: row.numa_node,
    resource_class: row.resource_class,
    traits: row.traits,
    plans: row.plans,
    attach_info: row.attach_info,
    iommu_group: row.iommu_group,
    pcie_root: row.pcie_root,
    resetless_reason: row.resetless_reason,
    state: row.state,
    reason: row.reason ?? whyNotGiven(row),
    presence: row.presence === 'present' && row.backend_state === 'stale' ? 'stale' : row.presence,
    absent_since: row.absent_since,
    health: row.health,
    reserved_for: mayName(scope, row.reserved_for) ? row.reserved_for : null,
    instance_id: isNamed ? row.instance_id : null,
    project_id: isNamed ? row.project_id : null,
    attachment_id: isNamed ? row.attachment_id : null,
    simulated: row.simulated,
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

/** What an attach would say: it is free, and still it is not given out. */
function whyNotGiven({ state, backend, backend_state }: ListedAcceleratorRow): string | null {
  const isHeldBack = state === 'available' && unusableBackends.includes(backend_state);
  return isHeldBack ? `backend ${backend} is ${backend_state}` : null;
}

/** @throws ServiceError `accelerator-not-found`, also when the caller may not see it. */
export async function readAccelerator(
  db: Db,
  caller: Caller,
  id: string,
): Promise<AcceleratorView> {
  const scope = scopeOf(caller);
  const row = await findAccelerator(db, id, acceleratorsInScope(scope));
  if (row === undefined) throw acceleratorNotFound(id);
  return toAcceleratorView(row, scope);
}

export function acceleratorNotFound(id: string): ServiceError {
  return new ServiceError(
    'accelerator-not-found',
    `There is no accelerator ${id}; "cyborg accelerator-list" shows those you may see.`,
    { extra: { nearest: [] } },
  );
}

/** What the parts of one pass over an inventory share. */
import type { ConductorDeps } from '../deps.ts';
import type { NewEvent } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import type { ReportedInventory } from './parse.ts';
import type { Known } from './rows.ts';

export interface InventoryTarget {
  readonly id: string;
  readonly name: string;
  readonly host_id: string;
  readonly driver_id: string;
}

/** All that one pass over an inventory needs. */
export interface Applying {
  readonly deps: Pick<ConductorDeps, 'rng' | 'ledger'>;
  readonly act: Act;
  readonly backend: InventoryTarget;
  readonly inventory: ReportedInventory;
  readonly known: Known;
  readonly events: NewEvent[];
}

/** Deployables are found by device and key. */
export type DeployableIds = (deviceKey: string, key: string) => string;

/** `?dry_run=true`: the same planner on a read-only transaction, and what it would have done or refused. */
import { ServiceError } from '@cyborg/model/errors';

import type { ConductorDeps } from './deps.ts';
import { rehearse, type Act } from './transaction.ts';

export interface Change {
  readonly subject_kind: string;
  readonly subject_id: string;
  readonly change: string;
}

export interface NearestMiss {
  readonly accelerator_id: string;
  readonly name: string;
  readonly why_not: readonly string[];
}

export interface DryRunView {
  readonly dry_run: true;
  readonly would_succeed: boolean;
  readonly changes: readonly Change[];
  readonly refusal: { readonly code: string; readonly detail: string } | null;
  readonly nearest_misses: readonly NearestMiss[];
}

/** `plan` only reads: it answers the changes that the act would make, or throws the refusal. */
export async function dryRun(
  deps: Pick<ConductorDeps, 'db' | 'clock'>,
  plan: (act: Act) => Promise<readonly Change[]>,
): Promise<DryRunView> {
  try {
    const changes = await rehearse(deps, plan);
    return { dry_run: true, would_succeed: true, changes, refusal: null, nearest_misses: [] };
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return refused(error);
  }
}

function refused(error: ServiceError): DryRunView {
  const misses = error.extra['nearest_misses'];
  return {
    dry_run: true,
    would_succeed: false,
    changes: [],
    refusal: { code: error.code, detail: error.message },
    nearest_misses: Array.isArray(misses) ? misses : [],
  };
}

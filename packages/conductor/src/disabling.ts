/**
 * Disabling what has held accelerators is refused with their users, unless forced (promise 6). Either way nothing is
 * detached: what is disabled gives out nothing new.
 */
import { heldAcceleratorStates } from '@cyborg/model/accelerator-lifecycle';
import { isAdmin, type Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { sql, type RawBuilder, type SqlBool } from 'kysely';

import { inUse, readUses, type Use } from './deployments/users.ts';
import type { Tx } from './deps.ts';
import type { DryRunQuery } from './handler.ts';
import { scopeOf } from './scope.ts';

export type Status = 'enabled' | 'disabled';

export interface ForceQuery extends DryRunQuery {
  readonly force?: boolean | undefined;
}

export interface Switching {
  readonly caller: Caller;
  /** As in `disable WHAT`. */
  readonly what: string;
  readonly before: Status;
  readonly after: Status | undefined;
  readonly query: ForceQuery;
  /** On `accelerator a`. */
  readonly where: RawBuilder<SqlBool>;
}

/** What the event says of a forced one, besides its actor. */
export interface Forced {
  readonly forced?: true;
  readonly kept?: readonly {
    readonly accelerator_id: string;
    readonly instance_id: string | null;
  }[];
}

/** @throws ServiceError `in-use` with the users; `forbidden` when somebody else than an admin forces. */
export async function checkSwitch(tx: Tx, switching: Switching): Promise<Forced> {
  const { caller, what, before, after, query, where } = switching;
  refuseForceOf(caller, query);
  if (after !== 'disabled' || before === 'disabled') return {};
  const uses = await readUses(
    tx,
    sql<SqlBool>`a.state = any(${heldAcceleratorStates}::text[]) and ${where}`,
  );
  if (uses.length === 0) return {};
  if (query.force === true) return forced(uses);
  throw inUse(uses, {
    scope: scopeOf(caller),
    verb: `disable ${what}`,
    wayOut: 'Detach them first, or force it: they stay attached, and nothing new is given out.',
  });
}

export function refuseForceOf(caller: Caller, { force }: ForceQuery): void {
  if (force !== true || isAdmin(caller)) return;
  throw new ServiceError('forbidden', 'force: only an admin may take away what is in use.');
}

export function forced(uses: readonly Use[]): Forced {
  const kept = uses.map(({ id, instance_id }) => ({ accelerator_id: id, instance_id }));
  return { forced: true, kept };
}

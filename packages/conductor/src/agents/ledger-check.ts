/** Which ledger an agent belongs to, and which of a host's agents holds its lease. */
import { ServiceError } from '@cyborg/model/errors';

import type { Ledger } from '../deps.ts';

export interface LedgerRef {
  readonly id: string;
  readonly incarnation: number;
}

/** @throws ServiceError `wrong-ledger` unless the agent speaks of this ledger in this incarnation. */
export function checkLedger(ledger: Ledger, given: LedgerRef): void {
  checkLedgerForLease(ledger, given);
  if (given.incarnation === ledger.incarnation) return;
  throw new ServiceError(
    'wrong-ledger',
    `The agent speaks of incarnation ${given.incarnation} of ledger ${ledger.id}; it is ${ledger.incarnation} now: ` +
      'renew the lease, which answers the new one, and look at the desired state again.',
    { extra: { ledger } },
  );
}

/**
 * A lease may be renewed by an agent that still knows an earlier incarnation: the answer tells it the new one.
 *
 * @throws ServiceError `wrong-ledger` for another ledger, or for an incarnation that this ledger has not reached: it was
 *   restored from a backup, and its orders are older than what the host has seen.
 */
export function checkLedgerForLease(ledger: Ledger, given: LedgerRef): void {
  if (given.id !== ledger.id) {
    throw new ServiceError(
      'wrong-ledger',
      `The agent is enrolled with ledger ${given.id}, this is ${ledger.id}: point it at its own server, or re-enrol the host here.`,
      { extra: { ledger } },
    );
  }
  if (given.incarnation > ledger.incarnation) {
    throw new ServiceError(
      'wrong-ledger',
      `The agent has seen incarnation ${given.incarnation} of this ledger, which is at ${ledger.incarnation}: ` +
        'the database is an older copy. Begin a new incarnation after a restore.',
      { extra: { ledger } },
    );
  }
}

interface LeaseHolder {
  readonly agent_instance: string | null;
  readonly lease_expires_at: Date | null;
}

/** @throws ServiceError `agent-already-running` unless this run of the agent holds the host's lease. */
export function checkHolder(host: LeaseHolder, instance: string, now: Date): void {
  const isAlive = host.lease_expires_at !== null && host.lease_expires_at > now;
  if (host.agent_instance === instance && isAlive) return;
  const holder =
    host.agent_instance !== null && isAlive && host.agent_instance !== instance
      ? `Agent ${host.agent_instance} holds the lease of this host`
      : 'This agent holds no lease of this host';
  throw new ServiceError(
    'agent-already-running',
    `${holder}: renew the lease first; a host has one agent at a time.`,
    { extra: { holder: host.agent_instance } },
  );
}

/** What could not be cleaned is cleaned once more, since somebody has mended the cause. */
import { acceleratorLifecycle } from '@cyborg/model/accelerator-lifecycle';
import { nextEpoch } from '@cyborg/model/epoch';
import { ServiceError } from '@cyborg/model/errors';
import { nextState } from '@cyborg/model/lifecycle';
import type { EditableColumns, ListedAcceleratorRow } from '@cyborg/store/accelerators';

import type { Ledger } from '../deps.ts';

export type CleanedAgain = Pick<EditableColumns, 'state' | 'reason' | 'epoch'>;

/** Under a new epoch: what is left of the first try counts no more. */
export function cleanedAgain(row: ListedAcceleratorRow, { incarnation }: Ledger): CleanedAgain {
  const state = nextState(acceleratorLifecycle, row.state, 'retry-cleaning');
  return { state, reason: null, epoch: nextEpoch(row.epoch, incarnation) };
}

/** What is being cleaned already may be asked for once more. @throws ServiceError `wrong-state`, with the way out. */
export function checkMayCleanAgain(row: ListedAcceleratorRow): void {
  if (row.state === 'cleaning') return;
  if (row.state !== 'cleaning_failed') {
    throw new ServiceError(
      'wrong-state',
      `state: only what is cleaning_failed can be cleaned again, and ${row.name} is ${row.state}. ${insteadOfCleaning(row)}`,
    );
  }
  if (row.presence === 'absent') {
    throw new ServiceError(
      'wrong-state',
      `state: ${row.name} is absent, so nobody can clean it now. It is cleaned by itself when its driver reports it again (discover-services looks at once). Hardware that does not come back: accelerator-update ${row.id} --state available --reason TEXT, then accelerator-delete.`,
    );
  }
}

function insteadOfCleaning({ state }: ListedAcceleratorRow): string {
  const isHeld = ['attached', 'orphaned'].includes(state);
  return isHeld
    ? 'Detach it (detach-instance): it is cleaned then.'
    : 'Whatever was held is cleaned when it comes back, before anybody else is given it.';
}

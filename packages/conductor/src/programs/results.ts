import type { ProgrammingRow } from '@cyborg/store/programs';

import type { Draft } from '../orders/draft.ts';
import { noteResult } from '../orders/results.ts';

/** To whoever follows the operation, when there is one. @param failure  why, or null. */
export function noteProgramResult(draft: Draft, row: ProgrammingRow, failure: string | null): void {
  noteResult(draft, row.operation_id, {
    acceleratorId: row.accelerator_id,
    outcome: failure === null ? 'succeeded' : 'failed',
    message: failure,
  });
}

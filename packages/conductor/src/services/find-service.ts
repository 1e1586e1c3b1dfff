import { ServiceError } from '@cyborg/model/errors';
import { isUuid } from '@cyborg/model/ids';
import type { ServiceTable } from '@cyborg/store/schema-inventory';
import type { Selectable } from 'kysely';

import type { Tx } from '../deps.ts';

/** @throws ServiceError `service-not-found`; `wrong-state` for a control service, which is not switched here. */
export async function lockService(
  tx: Tx,
  { id, isLocked }: { readonly id: string; readonly isLocked: boolean },
): Promise<Selectable<ServiceTable>> {
  if (!isUuid(id)) {
    const isControl = /^cyborg-(api|conductor|agent):/.test(id);
    throw isControl
      ? new ServiceError(
          'wrong-state',
          `${id} is a control service: stop its process, or disable its host with \`host-update\`.`,
        )
      : new ServiceError('service-not-found', `There is no service "${id}"; see \`service-list\`.`);
  }
  const query = tx.selectFrom('service').selectAll().where('id', '=', id);
  const row = await (isLocked ? query.forUpdate() : query).executeTakeFirst();
  if (row !== undefined) return row;
  throw new ServiceError('service-not-found', `There is no service "${id}"; see \`service-list\`.`);
}

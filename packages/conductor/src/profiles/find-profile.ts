import { ServiceError } from '@cyborg/model/errors';
import { isUuid } from '@cyborg/model/ids';
import { nearest, nearestHint } from '@cyborg/model/nearest';
import {
  findDeviceProfile,
  listDeviceProfileNames,
  type DeviceProfileRow,
} from '@cyborg/store/device-profiles';

import type { Db } from '../deps.ts';

/**
 * By id or name.
 *
 * @throws ServiceError `profile-not-found`, with the nearest names.
 */
export async function findProfile(db: Db, idOrName: string): Promise<DeviceProfileRow> {
  const byId = isUuid(idOrName) ? await findDeviceProfile(db, { id: idOrName }) : undefined;
  const row = byId ?? (await findDeviceProfile(db, { name: idOrName }));
  if (row !== undefined) return row;
  const names = await listDeviceProfileNames(db);
  const hint = nearestHint(idOrName, names, 'there are none yet');
  throw new ServiceError(
    'profile-not-found',
    `There is no device profile "${idOrName}"; ${hint}.`,
    {
      extra: { nearest: nearest(idOrName, names) },
    },
  );
}

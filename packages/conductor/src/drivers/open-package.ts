import { findPackageOfHost, readPackagePieces } from '@cyborg/store/driver-packages';

import type { Db } from '../deps.ts';
import type { OrderedBytes } from '../programs/ordered-image.ts';

/** The package of this digest, for a host that runs it or is to; undefined for every other one. */
export async function openPackageOfHost(
  db: Db,
  asked: { readonly hostId: string; readonly digest: string },
): Promise<OrderedBytes | undefined> {
  const found = await findPackageOfHost(db, asked);
  return found && { bytes: found.size_bytes, pieces: readPackagePieces(db, found) };
}

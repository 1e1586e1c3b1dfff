/** Takes an uploaded tarball into the ledger's database, from where every server hands it to agents, and reads it through. */
import { inspectPackage, type Inspected } from '@cyborg/driver-package/inspect';
import { packageLimits } from '@cyborg/driver-package/limits';
import { PackageError } from '@cyborg/driver-package/package-error';
import { ServiceError } from '@cyborg/model/errors';
import {
  addPackagePiece,
  forgetUnfinishedPackages,
  readPackagePieces,
} from '@cyborg/store/driver-packages';

import type { ConductorDeps } from '../deps.ts';
import { inPieces } from '../in-pieces.ts';

export interface StoredPackage extends Inspected {
  readonly id: string;
}

/** An upload that has not ended by then never will. */
const unfinishedHours = 1;
const hourMs = 3_600_000;

/**
 * Runs `use` with the package, whose row has no digest yet: `use` gives it one, or the package is forgotten again.
 *
 * @throws ServiceError `package-refused` with what is wrong, `body-too-large`; whatever the source or `use` throws.
 */
export async function withStoredPackage<Result>(
  deps: Pick<ConductorDeps, 'db' | 'rng' | 'clock'>,
  tarball: AsyncIterable<Uint8Array>,
  use: (stored: StoredPackage) => Promise<Result>,
): Promise<Result> {
  const { db, rng, clock } = deps;
  const now = clock.now();
  await forgetUnfinishedPackages(db, new Date(now.getTime() - unfinishedHours * hourMs));
  const id = rng.uuid();
  await db.insertInto('driver_package').values({ id, created_at: now }).execute();
  try {
    const pieces = await writePieces(deps, id, tarball);
    const inspected = await inspect(readPackagePieces(db, { id, pieces }));
    return await use({ id, ...inspected });
  } finally {
    // Kept only when it was given its digest.
    await db
      .deleteFrom('driver_package')
      .where('id', '=', id)
      .where('digest', 'is', null)
      .execute()
      .catch(() => undefined); // forgotten an hour later then
  }
}

/** @returns how many. */
async function writePieces(
  { db }: Pick<ConductorDeps, 'db'>,
  id: string,
  tarball: AsyncIterable<Uint8Array>,
): Promise<number> {
  let [number, bytes] = [0, 0];
  for await (const data of inPieces(tarball)) {
    bytes += data.length;
    if (bytes > packageLimits.tarballBytesMax) {
      throw new ServiceError(
        'body-too-large',
        `A driver package may have ${packageLimits.tarballBytesMax} bytes: leave out what the driver does not need.`,
      );
    }
    await addPackagePiece(db, { id, number, data });
    number += 1;
  }
  return number;
}

async function inspect(tarball: AsyncIterable<Uint8Array>): Promise<Inspected> {
  try {
    return await inspectPackage(tarball);
  } catch (error) {
    if (!(error instanceof PackageError)) throw error;
    throw new ServiceError('package-refused', error.message);
  }
}

/** Takes the bytes of one image into the ledger's database, checked, from where any server hands them to its host. */
import { createHash } from 'node:crypto';

import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import {
  addImagePiece,
  completeStagedImage,
  deleteStagedImage,
  forgetStagedImages,
  insertStagedImage,
  stagedBytes,
} from '@cyborg/store/staged-images';

import type { Db } from '../deps.ts';
import { inPieces } from '../in-pieces.ts';
import type { ConductorLimits } from '../limits.ts';

export class StagingRefused extends Error {
  override readonly name = 'StagingRefused';
  /** There is no room, at the moment. */
  readonly isForNow: boolean;

  constructor(message: string, isForNow = false) {
    super(message);
    this.isForNow = isForNow;
  }
}

export interface StageImage {
  readonly imageId: string | null;
  readonly name: string;
  /** Only when it ended without an error were its bytes right. */
  readonly bytes: AsyncIterable<Buffer>;
  /** Called after each piece; throws when nobody wants it any more. */
  readonly mayGoOn: () => Promise<void>;
  /** What they must have. */
  readonly sha256?: string | undefined;
}

export interface StagedImage {
  readonly id: string;
  readonly sha256: string;
}

/**
 * @throws StagingRefused when it is too large, or another one than was asked for, or there is no room
 */
export async function stageImage(
  deps: {
    readonly db: Db;
    readonly clock: Clock;
    readonly rng: Rng;
    readonly limits: ConductorLimits;
  },
  { imageId, name, bytes, mayGoOn, sha256: wanted }: StageImage,
): Promise<StagedImage> {
  const { db, clock, rng, limits } = deps;
  await makeRoom(deps);
  const id = rng.uuid();
  await insertStagedImage(db, { id, image_id: imageId, name, now: clock.now() });
  try {
    const hash = createHash('sha256');
    let [number, total] = [0, 0];
    for await (const data of inPieces(bytes)) {
      total += data.length;
      if (total > limits.programImageBytesMax) checkBytes(name, total, limits);
      hash.update(data);
      await addImagePiece(db, { id, number, data, now: clock.now() });
      number += 1;
      await mayGoOn();
    }
    checkBytes(name, total, limits);
    const sha256 = hash.digest('hex');
    if (wanted !== undefined) checkDigest(name, { sha256, wanted });
    await completeStagedImage(db, { id, sha256, now: clock.now() });
    return { id, sha256 };
  } catch (error) {
    await deleteStagedImage(db, id).catch(() => undefined); // otherwise forgotten with those that nobody uses
    throw error;
  }
}

/** @throws StagingRefused when it is empty or too large. */
export function checkBytes(
  name: string,
  bytes: number,
  { programImageBytesMax: max }: Pick<ConductorLimits, 'programImageBytesMax'>,
): void {
  if (bytes === 0) throw new StagingRefused(`Image ${name} is empty.`);
  if (bytes <= max) return;
  throw new StagingRefused(
    `Image ${name} has more than ${max} bytes: no larger one can be written.`,
  );
}

/** @throws StagingRefused naming both. */
export function checkDigest(
  name: string,
  { sha256, wanted }: { readonly sha256: string; readonly wanted: string },
): void {
  if (sha256 === wanted) return;
  throw new StagingRefused(
    `Image ${name} has sha256 ${sha256}, and not ${wanted}: it is damaged, or another one. Nothing was written.`,
  );
}

/** The longest unused go first. @throws StagingRefused when those in use leave too little. */
async function makeRoom({
  db,
  clock,
  limits,
}: {
  readonly db: Db;
  readonly clock: Clock;
  readonly limits: ConductorLimits;
}): Promise<void> {
  const room = limits.stagedImagesBytesMax - limits.programImageBytesMax;
  for (;;) {
    if ((await stagedBytes(db)) <= room) return;
    // One that is still coming was used a moment ago.
    const usedBefore = new Date(clock.now().getTime() - limits.claimSeconds * 1000);
    const gone = await db
      .transaction()
      .execute((tx) => forgetStagedImages(tx, { usedBefore, limit: 1 }));
    if (gone > 0) continue;
    throw new StagingRefused(
      `Images on their way to hosts take more than ${room} bytes already: try again when some are written.`,
      true,
    );
  }
}

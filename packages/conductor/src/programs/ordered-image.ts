import { findOrderedImage, readImagePieces } from '@cyborg/store/staged-images';

import type { Db } from '../deps.ts';

export interface OrderedBytes {
  /** How many come. */
  readonly bytes: number;
  readonly pieces: AsyncIterable<Buffer>;
}

/** The image that a host is to write now, by its digest; undefined for every other one. */
export async function openOrderedImage(
  db: Db,
  asked: { readonly hostId: string; readonly sha256: string },
): Promise<OrderedBytes | undefined> {
  const image = await findOrderedImage(db, asked);
  return image && { bytes: image.size_bytes, pieces: readImagePieces(db, image) };
}

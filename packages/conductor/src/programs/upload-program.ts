/** Takes the bytes of a program image that is in no Glance. The same bytes are kept once. */
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { findUpload, findUploadByDigest, touchStagedImage } from '@cyborg/store/staged-images';

import type { ConductorDeps } from '../deps.ts';
import type { Input } from '../handler.ts';
import { recordEvents } from '../record-event.ts';
import { act } from '../transaction.ts';
import { stageImage, StagingRefused } from './stage-image.ts';

export interface UploadView {
  readonly id: string;
  readonly name: string;
  readonly sha256: string;
  readonly size_bytes: number;
}

export type UploadProgramInput = Input<
  object,
  { readonly name: string; readonly sha256: string },
  AsyncIterable<Buffer>
>;

/**
 * Kept for an hour after its last use.
 *
 * @throws ServiceError `invalid-input` when the bytes have another digest, are none, or are too many; `unavailable` while
 * other images leave no room.
 */
export async function uploadProgram(
  deps: ConductorDeps,
  caller: Caller,
  { query: { name, sha256 }, body }: UploadProgramInput,
): Promise<UploadView> {
  const known = await findUploadByDigest(deps.db, sha256);
  if (known !== undefined) {
    await touchStagedImage(deps.db, known.id, deps.clock.now());
    return { id: known.id, name: known.name, sha256, size_bytes: known.size_bytes };
  }
  const id = await staged(deps, { name, sha256, body });
  const made = await findUpload(deps.db, id);
  if (made === undefined) throw new Error(`the image ${id} that was just uploaded is gone`);
  const view = { id, name, sha256, size_bytes: made.size_bytes };
  await act(deps, (current) =>
    recordEvents(current, [
      {
        kind: 'program.uploaded',
        subjectKind: 'program',
        subjectId: id,
        userId: caller.userId,
        data: { name, sha256, size_bytes: made.size_bytes },
      },
    ]),
  );
  return view;
}

async function staged(
  deps: ConductorDeps,
  given: { readonly name: string; readonly sha256: string; readonly body: AsyncIterable<Buffer> },
): Promise<string> {
  const { name, sha256, body: bytes } = given;
  try {
    const mayGoOn = (): Promise<void> => Promise.resolve();
    const image = await stageImage(deps, { imageId: null, name, bytes, mayGoOn, sha256 });
    return image.id;
  } catch (error) {
    if (!(error instanceof StagingRefused)) throw error;
    throw new ServiceError(error.isForNow ? 'unavailable' : 'invalid-input', error.message, {
      cause: error,
    });
  }
}

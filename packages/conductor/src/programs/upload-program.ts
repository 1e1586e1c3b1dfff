/** Takes the bytes of a program image that is in no Glance. The same bytes are kept once. */
import { createHash } from 'node:crypto';

import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import {
  deleteStagedImage,
  findUpload,
  findUploadByDigest,
  touchStagedImage,
} from '@cyborg/store/staged-images';

import type { ConductorDeps } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { actOnce } from '../idempotency.ts';
import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import { checkBytes, checkDigest, stageImage, StagingRefused } from './stage-image.ts';

export interface UploadView {
  readonly id: string;
  readonly name: string;
  readonly sha256: string;
  readonly size_bytes: number;
}

export type UploadProgramInput = Input<
  object,
  DryRunQuery & { readonly name?: string; readonly sha256?: string },
  AsyncIterable<Uint8Array>
>;

const path = '/v3/program-images';

/**
 * Kept for an hour after its last use.
 *
 * @throws ServiceError `invalid-input` when the bytes have another digest, are none, or are too many; `unavailable` while
 * other images leave no room.
 */
export async function uploadProgram(
  deps: ConductorDeps,
  caller: Caller,
  { query, body, idempotencyKey: key }: UploadProgramInput,
): Promise<UploadView | DryRunView> {
  const given = { name: query.name ?? 'uploaded', bytes: buffers(body), sha256: query.sha256 };
  if (query.dry_run === true) return rehearse(deps, given);
  const image = await refusing(() =>
    stageImage(deps, { ...given, imageId: null, mayGoOn: () => Promise.resolve() }),
  );
  let kept: string | undefined;
  try {
    const request = { caller, method: 'POST', path, key };
    const asked = { name: given.name, sha256: image.sha256 };
    const view = await actOnce(deps, { ...request, body: asked }, (current) =>
      keep(current, caller, image),
    );
    kept = view.id;
    return view;
  } finally {
    // The same bytes were here already, or it was refused.
    if (kept !== image.id) await deleteStagedImage(deps.db, image.id);
  }
}

async function keep(
  current: Act,
  caller: Caller,
  image: { readonly id: string; readonly sha256: string },
): Promise<UploadView> {
  const { tx, now } = current;
  const row = (await findUploadByDigest(tx, image.sha256)) ?? (await findUpload(tx, image.id));
  if (row === undefined) throw new Error(`the image ${image.id} that was just uploaded is gone`);
  const { id, name, sha256, size_bytes } = row;
  const view = { id, name, sha256, size_bytes };
  if (id !== image.id) {
    await touchStagedImage(tx, id, now);
    return view;
  }
  const data = { name, sha256, size_bytes };
  const by = { subjectKind: 'program', subjectId: id, userId: caller.userId };
  await recordEvents(current, [{ kind: 'program.uploaded', ...by, data }]);
  return view;
}

interface Given {
  readonly name: string;
  readonly bytes: AsyncIterable<Buffer>;
  readonly sha256: string | undefined;
}

async function rehearse(deps: ConductorDeps, { name, bytes, sha256 }: Given): Promise<DryRunView> {
  const hash = createHash('sha256');
  let total = 0;
  const read = async (): Promise<string> => {
    for await (const data of bytes) {
      total += data.length;
      hash.update(data);
      if (total > deps.limits.programImageBytesMax) break;
    }
    checkBytes(name, total, deps.limits);
    const digest = hash.digest('hex');
    if (sha256 !== undefined) checkDigest(name, { sha256: digest, wanted: sha256 });
    return digest;
  };
  return dryRun(deps, async () => {
    const digest = await refusing(read);
    const change = `${name} (${total} bytes, sha256 ${digest}) is kept`;
    return [{ subject_kind: 'program', subject_id: digest, change }];
  });
}

async function refusing<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StagingRefused)) throw error;
    const code = error.isForNow ? 'unavailable' : 'invalid-input';
    throw new ServiceError(code, error.message, { cause: error });
  }
}

async function* buffers(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) {
    yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
}

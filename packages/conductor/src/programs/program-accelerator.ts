/** accelerator-update --program: has the driver write an image into the card of which the accelerator is a part. */
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { V2Fault } from '@cyborg/model/v2/fault';
import { findAccelerator } from '@cyborg/store/accelerators';
import type { AcceleratorRow } from '@cyborg/store/holdings';
import { lockDeployable, readDeployable, type DeployableRow } from '@cyborg/store/programs';
import { findUpload } from '@cyborg/store/staged-images';

import { acceleratorNotFound } from '../accelerators/view.ts';
import type { ConductorDeps, Db } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { actOnce } from '../idempotency.ts';
import { toOperationView, type OperationView } from '../operations/read-operations.ts';
import { addOperation, commitDraft, emptyDraft } from '../orders/draft.ts';
import { newOperation } from '../orders/new-operation.ts';
import { acceleratorsInScope, scopeOf } from '../scope.ts';
import type { Act } from '../transaction.ts';
import { beginProgramming, findHindrance, type ProgramImage } from './begin.ts';
import { progressWhole } from './results.ts';
import { resolveImage } from './resolve-image.ts';

export interface ProgramChoice {
  /** Glance's. */
  readonly image_id?: string;
  /** Of `uploadProgram`. */
  readonly upload_id?: string;
  /** In hexadecimal. */
  readonly sha256?: string;
}

export type ProgramAcceleratorInput = Input<{ readonly id: string }, DryRunQuery, ProgramChoice>;

/**
 * @throws ServiceError `in-use` naming who holds a part of the card, `wrong-state`, `image-not-found`, `invalid-input`,
 * `accelerator-not-found`; `unavailable` while Glance is away.
 */
export async function programAccelerator(
  deps: ConductorDeps,
  caller: Caller,
  { params: { id }, query, body, idempotencyKey: key }: ProgramAcceleratorInput,
): Promise<OperationView | DryRunView> {
  const { image_id: imageId, upload_id: uploadId } = body;
  checkChoice(body, query.dry_run === true);
  if (query.dry_run === true) {
    return dryRun(deps, async ({ tx }) => {
      const { deployable, accelerators } = await plan(tx, caller, { id, withoutLock: true });
      if (uploadId !== undefined) await uploaded(tx, uploadId, body.sha256);
      const image = imageId ?? uploadId ?? `what has sha256 ${body.sha256}`;
      const names = accelerators.map(({ name }) => name).join(', ');
      const change = `${image} is written into ${deployable.name} (${names})`;
      return [{ subject_kind: 'deployable', subject_id: deployable.id, change }];
    });
  }
  const ofGlance = imageId === undefined ? undefined : await lookUp(deps, imageId, body.sha256);
  const path = `/v3/accelerators/${id}/program`;
  return actOnce(deps, { caller, method: 'POST', path, key, body }, async (current) => {
    const image = ofGlance ?? (await uploaded(current.tx, uploadId ?? '', body.sha256));
    const card = await plan(current.tx, caller, { id, withoutLock: false });
    return begin(current, deps, { caller, card, image });
  });
}

/** Of what is not uploaded yet there is only the digest: whether the card is free can be rehearsed. */
function checkChoice(
  { image_id: ofGlance, upload_id: sent, sha256 }: ProgramChoice,
  isDry: boolean,
): void {
  if ((ofGlance === undefined) !== (sent === undefined)) return;
  if (isDry && ofGlance === undefined && sha256 !== undefined) return;
  throw new ServiceError(
    'invalid-input',
    'image_id, upload_id: give one of them: the id of an image in Glance, or of one that was uploaded.',
  );
}

interface Card {
  readonly deployable: DeployableRow;
  readonly accelerators: readonly AcceleratorRow[];
  readonly host: { readonly id: string; readonly name: string };
}

async function plan(
  tx: Db,
  caller: Caller,
  { id, withoutLock }: { readonly id: string; readonly withoutLock: boolean },
): Promise<Card> {
  const row = await findAccelerator(tx, id, acceleratorsInScope(scopeOf(caller)));
  if (row === undefined) throw acceleratorNotFound(id);
  const read = withoutLock ? readDeployable : lockDeployable;
  const found = await read(tx, row.deployable_id);
  if (found === undefined || found.accelerators.length === 0) throw acceleratorNotFound(id);
  checkIsFree(found.deployable, found.accelerators);
  return { ...found, host: { id: row.host_id, name: row.host } };
}

/** Whatever one of them holds would be lost. */
function checkIsFree({ name }: DeployableRow, accelerators: readonly AcceleratorRow[]): void {
  const hindrance = findHindrance(accelerators);
  if (hindrance === undefined) return;
  const users = accelerators
    .filter((row) => row.attachment_id !== null)
    .map((row) => ({
      accelerator_id: row.id,
      instance_id: row.instance_id,
      project_id: row.project_id,
    }));
  if (users.length === 0) {
    throw new ServiceError(
      'wrong-state',
      `${name} cannot be programmed now: ${hindrance.reason}. Wait until it is available or withheld.`,
    );
  }
  const holders = users.map(
    (user) =>
      `instance ${user.instance_id ?? 'unknown'} of project ${user.project_id ?? 'unknown'}`,
  );
  throw new ServiceError(
    'in-use',
    `${name} cannot be programmed while somebody holds a part of it: ${[...new Set(holders)].join(', ')}. Detach it there, and wait until it is clean.`,
    { extra: { users } },
  );
}

async function begin(
  current: Act,
  deps: ConductorDeps,
  { caller, card, image }: { caller: Caller; card: Card; image: ProgramImage },
): Promise<OperationView> {
  const { deployable, accelerators, host } = card;
  const draft = emptyDraft(current, { ledger: deps.ledger, userId: caller.userId });
  for (const row of accelerators) draft.accelerators.set(row.id, row);
  const acceleratorIds = accelerators.map((row) => row.id);
  const operation = {
    ...newOperation(current, {
      id: deps.rng.uuid(),
      kind: 'program-accelerator',
      subject: {
        deployable_id: deployable.id,
        accelerator_ids: acceleratorIds,
        image_id: image.imageId,
        image: image.name,
      },
      host,
      acceleratorIds,
      userId: caller.userId,
      projectId: caller.projectId,
      deadlineSeconds: deps.limits.programDeadlineSeconds,
    }),
    progress_total: progressWhole,
  };
  addOperation(draft, operation);
  const by = { userId: caller.userId, projectId: caller.projectId };
  await beginProgramming(draft, deps, {
    deployable,
    image,
    by,
    bindId: null,
    operationId: operation.id,
  });
  await commitDraft(draft);
  return toOperationView(operation);
}

async function uploaded(db: Db, id: string, sha256: string | undefined): Promise<ProgramImage> {
  const row = await findUpload(db, id);
  if (row === undefined) {
    throw new ServiceError(
      'image-not-found',
      `There is no uploaded image ${id}: those that nobody uses are forgotten after an hour. Upload it again.`,
    );
  }
  if (sha256 !== undefined && sha256 !== row.sha256) {
    throw new ServiceError(
      'invalid-input',
      `sha256: image ${row.name} has ${row.sha256}, and not ${sha256}: upload the right one.`,
    );
  }
  const { name, id: stagedImageId } = row;
  return { imageId: null, name, functionId: null, stagedImageId, sha256: row.sha256 };
}

const lookUpMs = 15_000;

async function lookUp(
  deps: ConductorDeps,
  id: string,
  sha256: string | undefined,
): Promise<ProgramImage> {
  if (deps.openstack?.glance === undefined) {
    throw new ServiceError(
      'invalid-input',
      `image_id: this server has no Glance to look for ${id} in: upload the image and give its upload_id.`,
    );
  }
  const over = new AbortController();
  using _timer = deps.clock.setTimer(lookUpMs, () => over.abort());
  try {
    const image = await resolveImage(deps, { by: 'image', id }, over.signal);
    return { ...image, sha256: sha256 ?? null };
  } catch (error) {
    throw error instanceof V2Fault ? toServiceError(error) : error;
  }
}

function toServiceError(fault: V2Fault): ServiceError {
  const { status, message } = fault;
  if (status === 404) return new ServiceError('image-not-found', `${message}.`, { cause: fault });
  if (status < 500)
    return new ServiceError('invalid-input', `image_id: ${message}`, { cause: fault });
  return new ServiceError('unavailable', message, { cause: fault });
}

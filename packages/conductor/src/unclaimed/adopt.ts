/** Enters a device that is in a guest already into the ledger: nothing is plugged, the ledger only learns of it. */
import type { Caller } from '@cyborg/model/caller';
import { nextEpoch, parseDeviceName } from '@cyborg/model/epoch';
import { ServiceError } from '@cyborg/model/errors';
import { findListedAttachment } from '@cyborg/store/attachments';
import type { AcceleratorRow, AttachmentRow } from '@cyborg/store/holdings';
import { deleteUnclaimed, lockUnclaimed, type UnclaimedRow } from '@cyborg/store/unclaimed';
import type { NewAttachment } from '@cyborg/store/ledger-changes';

import { acceleratorNotFound } from '../accelerators/view.ts';
import { toAttachmentView, type AttachmentView } from '../attachments/view.ts';
import type { ConductorDeps } from '../deps.ts';
import {
  addAttachment,
  commitDraft,
  moveAccelerator,
  moveAttachment,
  openDraft,
  tell,
  type Draft,
} from '../orders/draft.ts';
import { noteResult } from '../orders/results.ts';
import type { Act } from '../transaction.ts';
import { unclaimedNotFound } from './not-found.ts';

export interface Adoption {
  readonly caller: Caller;
  readonly unclaimedId: string;
  /** May be left out where it is known which one it is. */
  readonly acceleratorId: string | undefined;
}

/**
 * The attachment keeps the id that the device's name carries, so that its host recognises it.
 *
 * @throws ServiceError `unclaimed-not-found`, `accelerator-not-found`, `instance-not-found`; `invalid-input` when nobody
 *   says which accelerator it is; `already-attached` or `wrong-state` when ledger and device do not go together.
 */
export async function adopt(
  current: Act,
  deps: Pick<ConductorDeps, 'ledger'>,
  adoption: Adoption,
): Promise<AttachmentView> {
  const { draft, found, attachmentId } = await planAdoption(current, deps, adoption);
  await deleteUnclaimed(current.tx, found.id);
  await commitDraft(draft);
  current.wakeUps.add(`host:${found.host_id}`);
  const row = await findListedAttachment(current.tx, attachmentId);
  if (row === undefined) throw new Error(`Attachment ${attachmentId} was not written.`);
  return toAttachmentView(row);
}

export interface AdoptionPlan {
  readonly draft: Draft;
  readonly found: UnclaimedRow;
  readonly attachmentId: string;
}

/** Only reads, but for the locks, which a rehearsal leaves out. */
export async function planAdoption(
  current: Act,
  deps: Pick<ConductorDeps, 'ledger'>,
  {
    caller,
    unclaimedId,
    acceleratorId: asked,
    withoutLock = false,
  }: Adoption & { readonly withoutLock?: boolean },
): Promise<AdoptionPlan> {
  const found = await lockUnclaimed(current.tx, unclaimedId, { withoutLock });
  if (found === undefined) throw unclaimedNotFound(unclaimedId);
  const named = parseDeviceName(found.device_name);
  if (named === undefined) {
    throw new ServiceError(
      'wrong-state',
      `The device ${found.device_name} carries no attachment of ours in its name: have it released instead.`,
    );
  }
  const acceleratorId = whichOf(found, asked);
  const draft = await openDraft(current, {
    ids: [acceleratorId],
    ledger: deps.ledger,
    userId: caller.userId,
    withoutLock,
  });
  const accelerator = draft.accelerators.get(acceleratorId);
  if (accelerator === undefined) throw acceleratorNotFound(acceleratorId);
  checkFree(accelerator, found);
  const projectId = await projectOf(current, found, caller);
  const attachmentId = named.attachmentId;
  const epoch = nextEpoch(Math.max(accelerator.epoch, named.epoch), deps.ledger.incarnation);
  const earlier = await earlierAttachment(current, attachmentId, { withoutLock });
  const entry = {
    id: attachmentId,
    accelerator,
    found,
    projectId,
    epoch,
    deviceEpoch: named.epoch,
  };
  if (earlier === undefined) addAttachment(draft, newEntry(draft, caller, entry), told(found));
  else revive(draft, earlier, entry);
  noteResult(draft, accelerator.operation_id, {
    acceleratorId,
    outcome: 'failed',
    message: `${accelerator.name} was not cleaned: instance ${found.instance_id} has it, and ${caller.userName} adopted that.`,
  });
  moveAccelerator(draft, accelerator, {
    event: 'adopt',
    changes: {
      epoch,
      attachment_id: attachmentId,
      instance_id: found.instance_id,
      project_id: projectId,
      operation_id: null,
      reason: null,
    },
  });
  tellAdopted(draft, found);
  return { draft, found, attachmentId };
}

interface Entry {
  readonly id: string;
  readonly accelerator: AcceleratorRow;
  readonly found: UnclaimedRow;
  readonly projectId: string;
  readonly epoch: number;
  readonly deviceEpoch: number;
}

/** @throws ServiceError `invalid-input` when nobody says; `wrong-state` when it is another one. */
function whichOf(found: UnclaimedRow, asked: string | undefined): string {
  const { device_name: device, known_id: known, known_name: name, address } = found;
  if (known === null) {
    if (asked !== undefined) return asked;
    throw new ServiceError(
      'invalid-input',
      `accelerator: nobody knows which one ${device}${address === null ? '' : ` at ${address}`} is; name it.`,
    );
  }
  if (asked === undefined || asked === known) return known;
  throw new ServiceError(
    'wrong-state',
    `The device ${device} is accelerator ${name ?? 'unnamed'} (${known})${address === null ? '' : ` at ${address}`}: adopt it as that one, or leave the accelerator out.`,
  );
}

function checkFree(accelerator: AcceleratorRow, found: UnclaimedRow): void {
  if (accelerator.host_id !== found.host_id) {
    throw new ServiceError(
      'wrong-state',
      `Accelerator ${accelerator.name} is on another host than the device ${found.device_name} (${found.host}).`,
    );
  }
  if (accelerator.attachment_id !== null) {
    throw new ServiceError(
      'already-attached',
      `Accelerator ${accelerator.name} is held by instance ${accelerator.instance_id ?? 'unknown'}: detach it there first, or have the device released (unclaimed-release).`,
      {
        extra: {
          users: [{ instance_id: accelerator.instance_id, accelerator_id: accelerator.id }],
        },
      },
    );
  }
}

async function projectOf({ tx }: Act, found: UnclaimedRow, caller: Caller): Promise<string> {
  const instance = await tx
    .selectFrom('instance')
    .select('project_id')
    .where('id', '=', found.instance_id)
    .executeTakeFirst();
  if (instance !== undefined) return instance.project_id ?? caller.projectId;
  throw new ServiceError(
    'instance-not-found',
    `The ledger knows no instance ${found.instance_id}: wait until host ${found.host} has reported it.`,
    { extra: { nearest: [] } },
  );
}

/** @throws ServiceError `wrong-state` when the ledger holds the attachment for something else. */
async function earlierAttachment(
  { tx }: Act,
  id: string,
  { withoutLock }: { readonly withoutLock: boolean },
): Promise<AttachmentRow | undefined> {
  const query = tx.selectFrom('attachment').selectAll().where('id', '=', id);
  const row = await (withoutLock ? query : query.forUpdate()).executeTakeFirst();
  if (row === undefined || row.state === 'released') return row;
  throw new ServiceError(
    'wrong-state',
    `The ledger has attachment ${id} as ${row.state} on accelerator ${row.accelerator_id ?? 'unknown'}: it is not to be adopted. Where its host goes on reporting it, another guest has a copy: have that released (unclaimed-release).`,
  );
}

function newEntry({ act: { now } }: Draft, caller: Caller, entry: Entry): NewAttachment {
  return {
    id: entry.id,
    accelerator_id: entry.accelerator.id,
    host_id: entry.found.host_id,
    instance_id: entry.found.instance_id,
    project_id: entry.projectId,
    user_id: caller.userId,
    origin: 'cyborg',
    state: 'attached',
    reason: null,
    plugged_by: 'agent',
    observed: 'plugged',
    epoch: entry.epoch,
    device_epoch: entry.deviceEpoch,
    profile_id: null,
    profile_group: null,
    was_bound: false,
    hostname: null,
    operation_id: null,
    allocation: null,
    bind_id: null,
    next_attempt_at: null,
    attempts: 0,
    claimed_by: null,
    claim_expires_at: null,
    created_at: now,
    updated_at: null,
  };
}

/** The ledger had let go of it, by force say, and it is still in the guest. */
function revive(draft: Draft, earlier: AttachmentRow, entry: Entry): void {
  if (
    earlier.accelerator_id !== entry.accelerator.id ||
    earlier.instance_id !== entry.found.instance_id
  ) {
    throw new ServiceError(
      'wrong-state',
      `Attachment ${entry.id} was of accelerator ${earlier.accelerator_id ?? 'unknown'} and instance ${earlier.instance_id ?? 'unknown'}: adopt it as that one, or have it released (unclaimed-release).`,
    );
  }
  draft.attachments.set(earlier.id, earlier);
  moveAttachment(draft, earlier, {
    event: 'adopt',
    changes: {
      reason: null,
      observed: 'plugged',
      epoch: entry.epoch,
      device_epoch: entry.deviceEpoch,
      operation_id: null,
    },
    told: told(entry.found),
  });
}

function told({ id, device_name }: UnclaimedRow): { data: Readonly<Record<string, unknown>> } {
  return { data: { adopted: true, unclaimed_id: id, device_name } };
}

function tellAdopted(draft: Draft, found: UnclaimedRow): void {
  tell(draft, {
    kind: 'unclaimed.adopted',
    subjectKind: 'unclaimed',
    subjectId: found.id,
    hostId: found.host_id,
    data: { instance_id: found.instance_id, device_name: found.device_name },
  });
}

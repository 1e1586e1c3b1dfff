/** Gives requests their accelerators: a step of the one transaction of a PATCH. */
import { nextEpoch } from '@cyborg/model/epoch';
import { arqStateOf } from '@cyborg/model/v2/arq';
import { notFound, V2Fault } from '@cyborg/model/v2/fault';
import { toUuid } from '@cyborg/model/v2/uuid';
import type { AcceleratorRow, AttachmentRow } from '@cyborg/store/holdings';
import { listInTheWay } from '@cyborg/store/relatives';
import { pickOfProvider, readProvider } from '@cyborg/store/v2/arqs';

import type { Tx } from '../../deps.ts';
import { moveAccelerator, moveAttachment, type Draft } from '../../orders/draft.ts';
import { checkV2Quota, lockV2Quotas } from './bind-quota.ts';
import type { Binding } from './parse-patch.ts';
import { arqNotFound } from './visible.ts';

export type BindLocking = 'skip-locked' | 'wait';

/** Too little is free at the moment; perhaps others hold locks, perhaps it is being cleaned. */
export class BindShortage extends Error {
  override readonly name = 'BindShortage';
  /** There would be enough with what is being cleaned, or was when we looked. */
  readonly mayPass: boolean;
  /** The answer when waiting does not help. */
  readonly fault: V2Fault;

  constructor(fault: V2Fault, mayPass: boolean) {
    super(fault.message);
    this.fault = fault;
    this.mayPass = mayPass;
  }
}

/** A binding with its locked request. */
export interface BindStep extends Omit<Binding, 'projectId'> {
  readonly row: AttachmentRow;
  readonly projectId: string;
}

/**
 * @param bindId  of the bind that goes on when images are written: until then they are only reserved
 * @throws V2Fault 400, 404 or 500 in upstream's words; 403 when a project's quota is used up
 * @throws BindShortage
 */
export async function bindAll(
  draft: Draft,
  steps: readonly BindStep[],
  { locking, bindId }: { readonly locking: BindLocking; readonly bindId: string | null },
): Promise<void> {
  for (const { row } of steps) checkState(row);
  const { tx } = draft.act;
  const quotas = await lockV2Quotas(tx, [...new Set(steps.map(({ projectId }) => projectId))]);
  const picks: { readonly step: BindStep; readonly accelerator: AcceleratorRow }[] = [];
  const byProvider = Map.groupBy(steps, (step) => `${step.rpUuid} ${step.projectId}`);
  // In one order for everybody, so that two binds do not wait for each other.
  for (const [, own] of [...byProvider].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const found = await pick(draft, own, locking);
    for (const [index, step] of own.entries()) {
      const accelerator = found[index];
      if (accelerator !== undefined) picks.push({ step, accelerator });
    }
  }
  await checkV2Quota(tx, quotas, picks);
  for (const { step, accelerator } of picks) give(draft, { step, accelerator, bindId });
}

/** Only what is new or unbound may be bound. */
function checkState({ id, state, was_bound: wasBound }: AttachmentRow): void {
  if (state === 'requested') return;
  if (state === 'released') throw arqNotFound(id);
  throw new V2Fault(
    500,
    `Bad state: ${arqStateOf({ state, wasBound })} for ARQ: ${id}. Expected state(s): ['Initial', 'Unbound']`,
  );
}

async function pick(
  { act: { tx } }: Draft,
  steps: readonly BindStep[],
  locking: BindLocking,
): Promise<AcceleratorRow[]> {
  const [first] = steps;
  if (first === undefined) return [];
  const rpUuid = toUuid(first.rpUuid);
  if (rpUuid === undefined) throw noProvider(first.rpUuid);
  const asked = { rpUuid, projectId: first.projectId };
  const picked = await pickOfProvider(tx, { ...asked, limit: steps.length, locking });
  const found = await leaveOutTaken(tx, picked, locking);
  if (found.length === steps.length) return found;
  // A later look than the pick's: what was being cleaned then may be available now.
  const provider = await readProvider(tx, asked);
  if (provider === undefined) throw noProvider(first.rpUuid);
  if (provider.bindable === 0) {
    throw new V2Fault(
      400,
      `Resource provider ${first.rpUuid} has nothing that Nova can plug: attach it to the running instance with "cyborg attach-instance".`,
    );
  }
  if (provider.alone === 0) {
    throw new V2Fault(
      400,
      `Resource provider ${first.rpUuid} shares an IOMMU group with other accelerators, and they go to one instance, all or none: attach them to the running instance with "cyborg attach-instance --accelerator A --accelerator B".`,
    );
  }
  const fault = notFound('AttachHandle', `Matching deployable_id ${provider.number}`);
  throw new BindShortage(fault, provider.available + provider.cleaning >= steps.length);
}

/** Without those of which somebody takes a part, or the whole, at this moment. */
async function leaveOutTaken(
  tx: Tx,
  picked: readonly AcceleratorRow[],
  locking: BindLocking,
): Promise<AcceleratorRow[]> {
  const ids = picked.filter(({ plans }) => plans.includes('pci')).map(({ id }) => id);
  const taken = ids.length === 0 ? new Set() : await listInTheWay(tx, { ids, locking });
  return picked.filter(({ id }) => !taken.has(id));
}

function noProvider(rpUuid: string): V2Fault {
  return notFound('Deployable', `with resource provider uuid=${rpUuid}`);
}

interface Giving {
  readonly step: BindStep;
  readonly accelerator: AcceleratorRow;
  readonly bindId: string | null;
}

function give(draft: Draft, { step, accelerator, bindId }: Giving): void {
  const { row, projectId, instanceId, hostname } = step;
  const epoch = nextEpoch(accelerator.epoch, draft.ledger.incarnation);
  draft.accelerators.set(accelerator.id, accelerator);
  const holder = { attachment_id: row.id, instance_id: instanceId, project_id: projectId };
  const reserved = moveAccelerator(draft, accelerator, {
    event: 'reserve',
    changes: { epoch, ...holder, operation_id: null },
  });
  const changes = {
    accelerator_id: accelerator.id,
    host_id: accelerator.host_id,
    instance_id: instanceId,
    project_id: projectId,
    hostname,
    epoch,
    device_epoch: epoch,
    observed: 'unknown',
    reason: null,
    bind_id: bindId,
  } as const;
  const begun = moveAttachment(draft, row, { event: 'reserve', changes });
  if (bindId !== null) return;
  const attaching = moveAttachment(draft, begun, { event: 'dispatch' });
  moveAttachment(draft, attaching, { event: 'plugged' });
  moveAccelerator(draft, reserved, { event: 'attach' });
}

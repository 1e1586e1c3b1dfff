/** Begins to write a program image into a deployable: a step of an act that has locked all its accelerators. */
import { traceParent } from '@cyborg/service/tracing';
import { insertProgramming, type DeployableRow } from '@cyborg/store/programs';
import type { AcceleratorRow } from '@cyborg/store/holdings';

import type { ConductorDeps } from '../deps.ts';
import { moveAccelerator, noteAccelerator, raiseEpoch, tell, type Draft } from '../orders/draft.ts';

/** What is to be written. Of Glance, or uploaded: then it is staged already. */
export interface ProgramImage {
  /** Glance's id; null = uploaded. */
  readonly imageId: string | null;
  readonly name: string;
  readonly functionId: string | null;
  readonly stagedImageId: string | null;
  /** What its bytes must have; null = whatever they have. */
  readonly sha256?: string | null;
}

export interface Begun {
  readonly deployable: DeployableRow;
  readonly image: ProgramImage;
  readonly bindId: string | null;
  readonly operationId: string | null;
  readonly by: { readonly userId: string; readonly projectId: string };
}

/** Why a deployable cannot be programmed now. */
export interface Hindrance {
  readonly accelerator: AcceleratorRow;
  /** It will pass by itself. */
  readonly mayPass: boolean;
  readonly reason: string;
}

const passing: readonly string[] = ['cleaning', 'updating'];
const idle: readonly string[] = ['available', 'withheld'];

/** Whatever one of them holds would be lost: none may be held, or be on its way. */
export function findHindrance(accelerators: readonly AcceleratorRow[]): Hindrance | undefined {
  const [first] = accelerators
    .filter((row) => !idle.includes(row.state) || row.programming_id !== null)
    .toSorted((a, b) => Number(passing.includes(a.state)) - Number(passing.includes(b.state)));
  if (first !== undefined) {
    const reason = `accelerator ${first.name} is ${first.state}`;
    return { accelerator: first, mayPass: passing.includes(first.state), reason };
  }
  const away = accelerators.find((row) => row.presence === 'absent' || row.host_use !== null);
  if (away === undefined) return undefined;
  const reason = `accelerator ${away.name} is ${away.host_use === null ? 'absent' : 'in use by its host'}`;
  return { accelerator: away, mayPass: false, reason };
}

/**
 * The accelerators are in the draft. Those that a bind keeps stay reserved for it, the others are out until the end.
 *
 * @returns the programming's id.
 */
export async function beginProgramming(
  draft: Draft,
  deps: Pick<ConductorDeps, 'rng' | 'limits'>,
  { deployable, image, bindId, operationId, by }: Begun,
): Promise<string> {
  const own = [...draft.accelerators.values()].filter((row) => row.deployable_id === deployable.id);
  const id = deps.rng.uuid();
  for (const row of own) take(draft, row, id);
  const target = draft.accelerators.get(own.map((row) => row.id).toSorted()[0] ?? '');
  if (target === undefined) throw new Error(`deployable ${deployable.id} has no accelerator`);
  const { now } = draft.act;
  await insertProgramming(draft.act.tx, {
    id,
    deployable_id: deployable.id,
    accelerator_id: target.id,
    host_id: target.host_id,
    bind_id: bindId,
    operation_id: operationId,
    image_id: image.imageId,
    image_name: image.name,
    function_id: image.functionId,
    staged_image_id: image.stagedImageId,
    sha256: image.sha256 ?? null,
    state: image.stagedImageId === null ? 'staging' : 'writing',
    epoch: target.epoch,
    user_id: by.userId,
    project_id: by.projectId,
    deadline_at: new Date(now.getTime() + deps.limits.programDeadlineSeconds * 1000),
    next_attempt_at: now,
    progress_percent: 0,
    attempts: 0,
    trace_parent: traceParent(),
    created_at: now,
  });
  draft.act.wakeUps.add('programs').add(`host:${target.host_id}`);
  tell(draft, {
    kind: 'deployable.programming',
    subjectKind: 'deployable',
    subjectId: deployable.id,
    hostId: target.host_id,
    data: { programming_id: id, image_id: image.imageId, image: image.name, epoch: target.epoch },
  });
  return id;
}

function take(draft: Draft, row: AcceleratorRow, programmingId: string): void {
  if (row.state === 'reserved') {
    noteAccelerator(draft, row, {
      changes: { programming_id: programmingId },
      told: { kind: 'accelerator.changed', data: { programming_id: programmingId } },
    });
    return;
  }
  const raised = raiseEpoch(draft, row);
  moveAccelerator(draft, raised, {
    event: 'update',
    changes: { programming_id: programmingId, reason: 'a program image is being written' },
  });
}

/** Makes a device profile's requests: all of them, in one transaction. */
import type { Caller } from '@cyborg/model/caller';
import { arqsOfGroup } from '@cyborg/model/v2/arq';
import { notFound, V2Fault } from '@cyborg/model/v2/fault';
import { shareDeviceProfile, type DeviceProfileRow } from '@cyborg/store/device-profiles';
import type { NewAttachment } from '@cyborg/store/ledger-changes';

import type { ConductorDeps } from '../../deps.ts';
import { addAttachment, commitDraftLast, emptyDraft } from '../../orders/draft.ts';
import { readGroup } from '../../profiles/grammar.ts';
import { act, type Act } from '../../transaction.ts';
import { toNewArqView, type ArqView } from './read-arqs.ts';

/** @throws V2Fault 404 for an unknown profile, 400 for one that asks for too much. */
export function createArqs(
  deps: ConductorDeps,
  caller: Caller,
  profileName: string,
): Promise<ArqView[]> {
  return act(deps, async (current) => {
    const profile = await shareDeviceProfile(current.tx, profileName);
    if (profile === undefined) throw notFound('Device Profile', `with name=${profileName}`);
    const groups = groupsOf(profile, deps.limits.arqsPerRequestMax);
    if (groups.length === 0) return [];
    const draft = emptyDraft(current, { ledger: deps.ledger, userId: caller.userId });
    const made = groups.map((group) =>
      newArq(current, { id: deps.rng.uuid(), caller, profileId: profile.id, group }),
    );
    for (const row of made) addAttachment(draft, row);
    await commitDraftLast(draft);
    return made.map((row) => toNewArqView(row, profile.name));
  });
}

/** One entry a request: the index of its group. */
function groupsOf({ name, groups }: DeviceProfileRow, max: number): number[] {
  const counts = groups.map((group) => arqsOfGroup(readGroup(group)));
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total > max) {
    throw new V2Fault(
      400,
      `Device profile ${name} asks for ${total} accelerators; one request may make at most ${max}. Split the profile.`,
    );
  }
  return counts.flatMap((count, group) => Array.from({ length: count }, () => group));
}

interface NewArq {
  readonly id: string;
  readonly caller: Caller;
  readonly profileId: string;
  readonly group: number;
}

function newArq({ now }: Act, { id, caller, profileId, group }: NewArq): NewAttachment {
  return {
    id,
    accelerator_id: null,
    host_id: null,
    instance_id: null,
    project_id: caller.projectId,
    user_id: caller.userId,
    origin: 'nova',
    state: 'requested',
    reason: null,
    plugged_by: 'nova',
    observed: 'unknown',
    epoch: 0,
    device_epoch: 0,
    profile_id: profileId,
    profile_group: group,
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

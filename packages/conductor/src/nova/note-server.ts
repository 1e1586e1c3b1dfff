/** Takes over what Nova said of a server: whose it is, what state it is in, where it is, that it is gone. */
import { isGoneStatus } from '@cyborg/model/nova-operations';
import type { NovaServer } from '@cyborg/openstack/nova';
import {
  listInstancesOfNova,
  unknownStatus,
  writeProject,
  writeServer,
  type InstanceOfNova,
  type ServerFacts,
} from '@cyborg/store/nova/servers';

import type { ConductorDeps } from '../deps.ts';
import { recordEvents } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';
import { noteHostNames } from './note-host-names.ts';
import { novaLimits } from './limits.ts';

export interface Heard {
  readonly instanceId: string;
  /** Undefined: Nova knows no such server. */
  readonly server: NovaServer | undefined;
}

/** Instances that the ledger does not have are left out; what is known already is not written again. */
export async function noteServers(deps: ConductorDeps, heard: readonly Heard[]): Promise<void> {
  if (heard.length === 0) return;
  await act(deps, async (current) => {
    const ids = heard.map(({ instanceId }) => instanceId);
    const known = await listInstancesOfNova(current.tx, ids);
    const byId = new Map(heard.map((one) => [one.instanceId, toFacts(one.server)]));
    for (const instance of known) {
      const facts = byId.get(instance.id);
      if (facts !== undefined) await noteServer(current, deps, { instance, facts });
    }
    await noteHostNames(current, [...new Set(known.map(({ host_id }) => host_id))]);
  });
}

async function noteServer(
  current: Act,
  deps: ConductorDeps,
  { instance, facts }: { readonly instance: InstanceOfNova; readonly facts: ServerFacts },
): Promise<void> {
  const { tx, now } = current;
  const nextAttemptAt = new Date(now.getTime() + lookAfterMs(deps));
  await writeServer(tx, { instanceId: instance.id, facts, now, nextAttemptAt });
  const { id, name, host_id: hostId } = instance;
  if (facts.project_id !== null) {
    const { project_id: projectId } = facts;
    const isNews = await writeProject(tx, { id, projectId, now });
    if (isNews && projectId !== instance.project_id) {
      await recordEvents(current, [
        {
          kind: 'instance.updated',
          subjectKind: 'instance',
          subjectId: id,
          hostId,
          projectId,
          data: { name, project_id: projectId, was: instance.project_id, source: 'nova' },
        },
      ]);
    }
  }
  if (facts.is_gone && instance.server?.is_gone !== true) current.wakeUps.add('work');
}

/** With a tenth to either side, so that not all are asked about at once. */
function lookAfterMs({ rng }: ConductorDeps): number {
  return novaLimits.lookEverySeconds * 1000 * (0.9 + 0.2 * rng.fraction());
}

function toFacts(server: NovaServer | undefined): ServerFacts {
  if (server === undefined) return { ...nothing, status: unknownStatus, is_gone: true };
  return {
    status: server.status,
    task_state: server.taskState,
    is_locked: server.isLocked,
    host: server.host,
    node_name: server.nodeName,
    project_id: server.projectId,
    is_gone: isGoneStatus(server.status),
  };
}

const nothing = {
  task_state: null,
  is_locked: false,
  host: null,
  node_name: null,
  project_id: null,
} as const;

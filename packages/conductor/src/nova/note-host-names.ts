/**
 * Nova and we must call a host the same, or accelerators would be counted under another compute node and attached where
 * the server is not: a mismatch is a condition of the host, and nothing is attached there until it is put right.
 */
import { isDeepStrictEqual } from 'node:util';

import { lockHostNames, writeHostNames, type HostNames } from '@cyborg/store/nova/servers';
import type { HostCondition } from '@cyborg/store/schema';

import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';

export const hostNameCondition = 'nova-host-name';

/** Learns Nova's name of a host that has been given none. */
export async function noteHostNames(current: Act, hostIds: readonly string[]): Promise<void> {
  if (hostIds.length === 0) return;
  for (const host of await lockHostNames(current.tx, hostIds)) {
    const serviceHost = host.service_host ?? host.nova_host;
    const condition = mismatchOf({ ...host, service_host: serviceHost });
    const others = host.conditions.filter(({ kind }) => kind !== hostNameCondition);
    const conditions = condition === undefined ? others : [...others, condition];
    const isSame = isDeepStrictEqual(conditions, host.conditions);
    if (isSame && serviceHost === host.service_host) continue;
    await writeHostNames(current.tx, { id: host.id, service_host: serviceHost, conditions });
    await recordEvents(current, [
      {
        kind: isSame ? 'host.updated' : 'host.conditions',
        subjectKind: 'host',
        subjectId: host.id,
        hostId: host.id,
        data: isSame ? { service_host: serviceHost, source: 'nova' } : { conditions },
      },
    ]);
  }
}

function mismatchOf(host: HostNames): HostCondition | undefined {
  const message = messageOf(host);
  return message === undefined
    ? undefined
    : { kind: hostNameCondition, message, blocks_attaching: true };
}

function messageOf({
  name,
  node_name,
  service_host,
  stranger,
  nova_host,
}: HostNames): string | undefined {
  if (stranger !== null) {
    return (
      `Nova has server ${stranger.name} (${stranger.id}) of this host on node ${stranger.node_name}, which no host here is: ` +
      `this one's node_name is ${node_name}. Start its agent with --node-name ${stranger.node_name}, if that is the same machine.`
    );
  }
  if (nova_host !== null && nova_host !== service_host) {
    return (
      `Nova's compute service on node ${node_name} is called ${nova_host}, and this host's service_host is ${service_host}: ` +
      `set it right with "cyborg host-update ${name} --service-host ${nova_host}".`
    );
  }
  return undefined;
}

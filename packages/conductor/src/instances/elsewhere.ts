/** A host that runs an instance which the ledger has on another one shows it as a condition, until one of them stops. */
import { isDeepStrictEqual } from 'node:util';

import { toJson } from '@cyborg/store/json';
import type { HostCondition } from '@cyborg/store/schema';

import type { AgentHost } from '../agents/credentials.ts';
import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';

export interface Elsewhere {
  readonly id: string;
  readonly name: string;
  readonly hostName: string;
}

const shownMax = 8;

export async function noteElsewhere(
  act: Act,
  given: { host: AgentHost; hypervisor: string; elsewhere: readonly Elsewhere[] },
): Promise<void> {
  const { host, hypervisor, elsewhere } = given;
  const kind = `instance-elsewhere:${hypervisor}`;
  const { conditions } = await act.tx
    .selectFrom('host')
    .select('conditions')
    .where('id', '=', host.id)
    .forNoKeyUpdate() // others write theirs
    .executeTakeFirstOrThrow();
  const others = conditions.filter((condition) => condition.kind !== kind);
  const wanted = elsewhere.length === 0 ? others : [...others, toCondition(kind, elsewhere)];
  if (isDeepStrictEqual(conditions, wanted)) return;
  await act.tx
    .updateTable('host')
    .set({ conditions: toJson(wanted) })
    .where('id', '=', host.id)
    .execute();
  await recordEvents(act, [
    {
      kind: 'host.conditions',
      subjectKind: 'host',
      subjectId: host.id,
      hostId: host.id,
      data: { conditions: wanted },
    },
  ]);
}

/** It blocks nothing by itself: attaching goes by the host that the ledger has. */
function toCondition(kind: string, elsewhere: readonly Elsewhere[]): HostCondition {
  const named = elsewhere
    .slice(0, shownMax)
    .map(({ id, name, hostName }) => `${name} (${id}, on ${hostName})`);
  const more = elsewhere.length > shownMax ? ` and ${elsewhere.length - shownMax} more` : '';
  return {
    kind,
    message:
      `It runs instances that the ledger has on other hosts: ${named.join(', ')}${more}. ` +
      'They stay there until that host no longer has them and their accelerators are released.',
    blocks_attaching: false,
  };
}

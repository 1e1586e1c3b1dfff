/** Agents that are refused are told of in the log and, once in a while, as an event: somebody runs two of them, or an old copy. */
import { ServiceError, type ErrorCode } from '@cyborg/model/errors';

import type { ConductorDeps } from '../deps.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import { act } from '../transaction.ts';
import type { AgentHost } from './credentials.ts';

const told: Readonly<Partial<Record<ErrorCode, NewEvent['kind']>>> = {
  'wrong-ledger': 'host.wrong-ledger',
  'agent-already-running': 'host.second-agent',
};

/** A refused agent asks again every few seconds. */
const againAfterMs = 3_600_000;
const rememberedMax = 4096;

export type Watch = <Result>(
  host: AgentHost,
  instance: string,
  call: () => Promise<Result>,
) => Promise<Result>;

/** Runs a call of an agent; its refusal is reported, and thrown all the same. */
export function makeRefusalWatch(deps: ConductorDeps): Watch {
  const toldAt = new Map<string, number>();
  return async (host, instance, call) => {
    try {
      return await call();
    } catch (error) {
      const kind = error instanceof ServiceError ? told[error.code] : undefined;
      const key = `${host.id} ${kind} ${instance}`;
      const nowMs = deps.clock.monotonicMs();
      const isNews = nowMs - (toldAt.get(key) ?? -Infinity) >= againAfterMs;
      if (kind !== undefined && isNews && error instanceof ServiceError) {
        if (toldAt.size >= rememberedMax) toldAt.clear();
        toldAt.set(key, nowMs);
        await tell(deps, host, { kind, instance, message: error.message });
      }
      throw error;
    }
  };
}

async function tell(
  deps: ConductorDeps,
  host: AgentHost,
  refusal: { readonly kind: NewEvent['kind']; readonly instance: string; readonly message: string },
): Promise<void> {
  const { kind, instance, message } = refusal;
  deps.log.warn({ host: host.name, instance, kind }, message);
  try {
    await act(deps, (running) =>
      recordEvents(running, [
        {
          kind,
          subjectKind: 'host',
          subjectId: host.id,
          hostId: host.id,
          data: { name: host.name, agent_instance: instance, message },
        },
      ]),
    );
  } catch (error) {
    deps.log.warn({ err: error, host: host.name }, 'could not record a refused agent');
  }
}

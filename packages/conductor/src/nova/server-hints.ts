/** Servers that something has happened to, as somebody says: Nova is asked about them soon. */
import { isUuid } from '@cyborg/model/ids';
import { lookAgain } from '@cyborg/store/nova/servers';

import type { ConductorDeps } from '../deps.ts';

/** Many things happen to a server within one operation: they are one question. */
const gatherMs = 250;
const hintsMax = 10_000;

export interface ServerHints extends AsyncDisposable {
  hear(serverId: string): void;
}

/** Losing a hint costs time, never correctness. */
export function makeServerHints(
  deps: Pick<ConductorDeps, 'db' | 'clock' | 'log' | 'wake'>,
): ServerHints {
  let heard = new Set<string>();
  let timer: Disposable | undefined;
  let flushing: Promise<void> = Promise.resolve();
  const flush = async (): Promise<void> => {
    const instanceIds = [...heard];
    heard = new Set();
    timer = undefined;
    try {
      await lookAgain(deps.db, { instanceIds, at: deps.clock.now() });
      deps.wake.wakeLocal(['due:look-at-servers']);
    } catch (error) {
      deps.log.debug({ err: error }, 'hints about servers are lost');
    }
  };
  return {
    hear(serverId) {
      if (heard.size >= hintsMax || !isUuid(serverId)) return;
      heard.add(serverId);
      timer ??= deps.clock.setTimer(gatherMs, () => {
        flushing = flush();
      });
    },
    async [Symbol.asyncDispose]() {
      timer?.[Symbol.dispose]();
      await flushing;
    },
  };
}

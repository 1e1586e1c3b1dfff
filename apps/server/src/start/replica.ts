/** This process among the services: a row that it renews while it lives. */
import type { ConductorDeps } from '@cyborg/conductor/deps';
import { forgetReplica, registerReplica, renewReplica } from '@cyborg/conductor/ledger/replicas';
import type { Logger } from '@cyborg/service/logging';
import { takeOverAlone } from '@cyborg/store/takeover';

import type { ServerOptions } from '../options.ts';
import { serverVersion } from '../version.ts';
import { repeat } from './repeat.ts';

const renewalsPerLease = 3;

export interface ReplicaStart {
  readonly deps: ConductorDeps;
  readonly log: Pick<Logger, 'warn'>;
  readonly options: Pick<ServerOptions, 'role' | 'replicaName'>;
  /** Nobody else can be on this database: claims of the dead are ours at once. */
  readonly isAlone: boolean;
}

export async function startReplica({
  deps,
  log,
  options,
  isAlone,
}: ReplicaStart): Promise<AsyncDisposable> {
  if (isAlone) await takeOverAlone(deps.db);
  const replica = { name: options.replicaName, role: options.role, version: serverVersion };
  await registerReplica(deps, replica);
  const renewal = repeat(
    { clock: deps.clock, log },
    {
      what: 'renewing the lease of this server',
      everyMs: (deps.limits.leaseSeconds * 1000) / renewalsPerLease,
      run: async () => {
        if (!(await renewReplica(deps))) await registerReplica(deps, replica);
      },
    },
  );
  return {
    async [Symbol.asyncDispose]() {
      await renewal[Symbol.asyncDispose]();
      await forgetReplica(deps).catch((error: unknown) =>
        log.warn({ err: error }, 'the row of this server stays until its lease ends'),
      );
    },
  };
}

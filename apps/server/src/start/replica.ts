/** This process among the services: a row that it renews while it lives. */
import type { ConductorDeps } from '@cyborg/conductor/deps';
import type { Logger } from '@cyborg/service/logging';
import {
  deleteDeadReplicas,
  deleteReplica,
  renewReplica,
  takeOverAlone,
} from '@cyborg/store/replicas';

import type { ServerOptions } from '../options.ts';
import { serverVersion } from '../version.ts';
import { repeat } from './repeat.ts';

export const replicaLimits = { leaseSeconds: 15, renewMs: 5000, forgetSeconds: 3600 } as const;

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
  const { db, clock, replicaId } = deps;
  if (isAlone) await takeOverAlone(db);
  const replica = {
    id: replicaId,
    name: options.replicaName,
    role: options.role,
    version: serverVersion,
  };
  const renew = async (): Promise<void> => {
    const now = clock.now();
    await renewReplica(db, replica, { now, leaseSeconds: replicaLimits.leaseSeconds });
    await deleteDeadReplicas(db, new Date(now.getTime() - replicaLimits.forgetSeconds * 1000));
  };
  await renew();
  const renewal = repeat(
    { clock, log },
    { what: 'renewing the lease of this server', everyMs: replicaLimits.renewMs, run: renew },
  );
  return {
    async [Symbol.asyncDispose]() {
      await renewal[Symbol.asyncDispose]();
      await deleteReplica(db, replicaId).catch((error: unknown) =>
        log.warn({ err: error }, 'the row of this server stays until its lease ends'),
      );
    },
  };
}

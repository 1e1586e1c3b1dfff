/** A conductor's surroundings for tests: the given database and clock, the real rest. */
import { toId } from '@cyborg/model/ids';
import type { Clock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';

import type { ConductorDeps, Db, Log } from './deps.ts';
import { defaultLimits, type ConductorLimits } from './limits.ts';
import { makeWakeHub } from './wake.ts';

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

export function makeTestDeps(
  { db, clock }: { readonly db: Db; readonly clock: Clock },
  limits: Partial<ConductorLimits> = {},
): ConductorDeps {
  return {
    db,
    clock,
    rng: systemRng,
    log: silent,
    wake: makeWakeHub(),
    limits: { ...defaultLimits, ...limits },
    ledger: { id: toId(systemRng.uuid()), incarnation: 1 },
    replicaId: systemRng.uuid(),
  };
}

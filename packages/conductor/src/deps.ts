/** What the domain is given from outside. Nothing here is a global. */
import type { DriverTrust } from '@cyborg/driver-package/signature';
import type { LedgerId } from '@cyborg/model/ids';
import type { OpenStackServices } from '@cyborg/openstack/services';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import type { Database } from '@cyborg/store/schema';
import type { Kysely, Transaction } from 'kysely';

import type { ConductorLimits } from './limits.ts';
import type { WakeHub } from './wake.ts';

export type Db = Kysely<Database>;
export type Tx = Transaction<Database>;

/** pino's shape, so that tests may give a quiet one. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface Ledger {
  readonly id: LedgerId;
  readonly incarnation: number;
}

export interface ConductorDeps {
  readonly db: Db;
  /** Wall time is the database's (openDatabaseClock); timers are the process's. */
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly wake: WakeHub;
  readonly limits: ConductorLimits;
  readonly ledger: Ledger;
  /** Id of this server process: who claims work. */
  readonly replicaId: string;
  /** What else there is of OpenStack. */
  readonly openstack?: OpenStackServices;
  /** Whose driver packages are taken; without it, nobody's. */
  readonly driverTrust?: DriverTrust;
}

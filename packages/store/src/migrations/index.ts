import type { Migration } from 'kysely/migration';

import { firstLedger } from './0001-ledger.ts';

/** Every migration of this release, by name; applied in the order of the names. */
export const migrations: Record<string, Migration> = { '0001-ledger': firstLedger };

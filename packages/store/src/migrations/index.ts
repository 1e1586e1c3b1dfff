import type { ReleaseMigration } from '../schema-fingerprint.ts';
import { firstLedger } from './0001-ledger.ts';

/** Every migration of this release, by name; applied in the order of the names. */
export const migrations: Record<string, ReleaseMigration> = { '0001-ledger': firstLedger };

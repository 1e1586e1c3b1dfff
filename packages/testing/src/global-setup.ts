import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { startEmbeddedPostgres } from '@cyborg/store/embedded/start';

import { postgresFailureVariable, postgresUrlVariable } from './environment.ts';
import { quietLog } from './log.ts';

/**
 * vitest's global set-up: one PostgreSQL for the whole run, handed to tests in the environment.
 *
 * CYBORG_TEST_POSTGRES_URL given from outside (a superuser's) is used instead. Without a PostgreSQL
 * a run under CI fails at once; elsewhere each test that opens a database fails with the reason.
 */
export async function setup(): Promise<(() => Promise<void>) | undefined> {
  // Each vitest project calls this; the first one starts it and stops it.
  if (process.env[postgresUrlVariable] !== undefined) return undefined;
  const directory = mkdtempSync(join(tmpdir(), 'cyborg-test-pg-'));
  try {
    const postgres = await startEmbeddedPostgres({
      directory: join(directory, 'postgres'),
      log: quietLog,
      clock: systemClock,
      settings: testSettings,
    });
    process.env[postgresUrlVariable] = postgres.url;
    return async () => {
      await postgres.stop();
      rmSync(directory, { recursive: true, force: true });
    };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    const reason = error instanceof Error ? error.message : String(error);
    if (process.env['CI'] === 'true') {
      throw new Error(`The tests need PostgreSQL, and it does not run here: ${reason}`, {
        cause: error,
      });
    }
    process.env[postgresFailureVariable] = reason;
    return undefined;
  }
}

const testSettings = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '200',
};

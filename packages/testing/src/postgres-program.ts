/**
 * A small server for tests that kill one: `node postgres-program.ts DIRECTORY` starts the embedded
 * database, prints one line of JSON (`{"pid","url"}` or `{"reason","message"}`), stops on SIGTERM.
 */
import { systemClock } from '@cyborg/service/clock';
import { EmbeddedPostgresError } from '@cyborg/store/embedded/failure';
import { startEmbeddedPostgres } from '@cyborg/store/embedded/start';

import { quietLog } from './log.ts';

async function main(directory: string): Promise<void> {
  try {
    const postgres = await startEmbeddedPostgres({ directory, log: quietLog, clock: systemClock });
    process.on('SIGTERM', () => {
      void postgres.stop().then(() => process.exit(0));
    });
    console.log(JSON.stringify({ pid: postgres.pid, url: postgres.url }));
  } catch (error) {
    if (!(error instanceof EmbeddedPostgresError)) throw error;
    console.log(JSON.stringify({ reason: error.reason, message: error.message }));
    process.exitCode = 1;
  }
}

await main(process.argv[2] ?? '');

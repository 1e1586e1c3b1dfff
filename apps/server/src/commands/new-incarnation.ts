import {
  newIncarnation as beginIncarnation,
  openLedger,
} from '@cyborg/conductor/ledger/open-ledger';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { helpText } from '@cyborg/service/option-help';
import { defineProgram } from '@cyborg/service/option-schema';
import { parseOptions } from '@cyborg/service/options';
import { systemRng } from '@cyborg/service/rng';
import { defaultLimits } from '@cyborg/conductor/limits';
import { listLiveReplicas } from '@cyborg/store/takeover';

import { serverProgram } from '../options.ts';
import { openDatabase } from '../start/database.ts';
import { serverVersion } from '../version.ts';

const { databaseUrl, databasePoolSize, stateDir, logLevel } = serverProgram.options;

const program = defineProgram({
  ...serverProgram,
  name: 'cyborg-server new-incarnation',
  summary:
    'After restoring the database from a backup: makes the orders to come newer than any that a host has seen.',
  options: { databaseUrl, databasePoolSize, stateDir, logLevel },
});

/** Refused while servers run on the database: they would go on with the old incarnation. */
export async function newIncarnation(argv: readonly string[]): Promise<number> {
  const parsed = parseOptions(program, { argv, env: process.env, cwd: process.cwd() });
  if (parsed.kind !== 'run') {
    process.stdout.write(parsed.kind === 'help' ? helpText(program) : `${serverVersion}\n`);
    return 0;
  }
  const { options } = parsed;
  const log = makeLogger({ name: program.name, level: options.logLevel, clock: systemClock });
  await using stack = new AsyncDisposableStack();
  const database = await openDatabase(options, { clock: systemClock, log, stack });
  const { db } = database.connection;
  const now = database.clock.now();
  const running = database.isEmbedded ? [] : await listLiveReplicas(db, now);
  if (running.length > 0) {
    console.error(
      `cyborg-server: servers run on this database (${running.join(', ')}): stop them first, then run this again. ` +
        `One that was killed, or ran when a backup was made, counts for ${defaultLimits.leaseSeconds} s.`,
    );
    return 1;
  }
  await openLedger(db, systemRng, database.clock);
  const ledger = await beginIncarnation(db, database.clock);
  console.log(`Ledger ${ledger.id} is now at incarnation ${ledger.incarnation}.`);
  return 0;
}

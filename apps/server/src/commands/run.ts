import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { helpText } from '@cyborg/service/option-help';
import { parseOptions } from '@cyborg/service/options';
import { systemRng } from '@cyborg/service/rng';
import { makeShutdown } from '@cyborg/service/shutdown';

import { serverProgram } from '../options.ts';
import { startServer } from '../server.ts';
import { serverVersion } from '../version.ts';

const otherCommands = `
Commands (before the options):
  run              Serve; the default.
  user-set NAME    Add a user to the users file, or change one (--help says more).
  new-incarnation  After restoring the database from a backup, before the first start.
`;

export async function run(argv: readonly string[]): Promise<number | undefined> {
  const parsed = parseOptions(serverProgram, { argv, env: process.env, cwd: process.cwd() });
  if (parsed.kind === 'help') {
    process.stdout.write(helpText(serverProgram) + otherCommands);
    return 0;
  }
  if (parsed.kind === 'version') {
    process.stdout.write(`${serverVersion}\n`);
    return 0;
  }
  const { options } = parsed;
  const clock = systemClock;
  const log = makeLogger({
    name: 'cyborg-server',
    level: options.logLevel,
    format: options.logFormat,
    clock,
  });
  const shutdown = makeShutdown({
    clock,
    log,
    timeLimitMs: options.shutdownTimeLimit * 1000,
    exit: (code) => process.exit(code),
  });
  shutdown.listen(process);
  const starting = startServer(options, { clock, rng: systemRng, log });
  // A signal during the start waits for its end: what half-started is then stopped in order.
  shutdown.add('the server', async () => (await starting).stop());
  await starting;
  return undefined;
}

/** `npm start`: a whole installation on this machine, in one command. */
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { optionsOrExitCode } from '@cyborg/service/option-main';
import { systemRng } from '@cyborg/service/rng';
import { makeShutdown } from '@cyborg/service/shutdown';

import { describeFailure, exitCodeOf } from '../failure.ts';
import { checkOptions } from '../server.ts';
import { serverVersion } from '../version.ts';
import { openLogFile } from './log-file.ts';
import { allInOneProgram } from './options.ts';
import type { AllInOneOptions } from './options.ts';
import { prepareStateDir, startAllInOne } from './run.ts';
import { readyText, startedText } from './texts.ts';

async function run(options: AllInOneOptions): Promise<void> {
  checkOptions({ ...options, role: 'all', auth: 'http_basic', usersFile: undefined });
  const stateDir = await prepareStateDir(options, process.env);
  const logPath = join(stateDir, 'log', 'server.log');
  const log = makeLogger({
    name: 'cyborg-server',
    level: options.logLevel,
    format: options.logFormat,
    clock: systemClock,
    destination: openLogFile(logPath),
  });
  const shutdown = makeShutdown({
    clock: systemClock,
    log,
    timeLimitMs: options.shutdownTimeLimit * 1000,
    exit: (code) => process.exit(code),
  });
  shutdown.listen(process);
  process.on('SIGHUP', () => void shutdown.begin('SIGHUP'));
  const tell = (text: string): void => void process.stdout.write(text);
  const surroundings = { clock: systemClock, rng: systemRng, log, env: process.env, tell };
  const starting = startAllInOne(options, stateDir, surroundings);
  // A signal during the start waits for its end: what half-started is then stopped in order.
  shutdown.add('the installation', async () => (await starting).stop());
  const all = await starting;
  process.stdout.write(startedText(all, logPath));
  await all.untilReady(shutdown.signal);
  if (!shutdown.signal.aborted) process.stdout.write(readyText(all, options));
}

const outcome = optionsOrExitCode(allInOneProgram, {
  argv: process.argv.slice(2),
  env: process.env,
  cwd: process.cwd(),
  version: serverVersion,
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
});
if ('exitCode' in outcome) {
  process.exitCode = outcome.exitCode;
} else {
  try {
    await run(outcome.options);
  } catch (error) {
    process.stderr.write(`cyborg: ${describeFailure(error)}\n`);
    process.exit(exitCodeOf(error));
  }
}

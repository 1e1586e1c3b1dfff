/** `cyborg-agent prepare-held`: for the start of the host, before libvirt. Whatever goes wrong, the host starts. */
import { realpath } from 'node:fs/promises';
import process from 'node:process';
import { escaped } from '@cyborg/model/plain-text';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { hasCode } from '@cyborg/service/node-error';
import { OptionError } from '@cyborg/service/option-error';
import { helpText } from '@cyborg/service/option-help';
import { defineProgram } from '@cyborg/service/option-schema';
import { parseOptions } from '@cyborg/service/options';
import { hostCommands } from '../host-needs/commands.ts';
import { HostPreparation } from '../host-needs/host-preparation.ts';
import { messageOf } from '../hypervisors/node-error.ts';
import { agentDefaults } from '../limits.ts';
import type { Log } from '../log.ts';
import { agentProgram, type AgentOptions } from '../options.ts';
import { PrivilegedActs } from '../privileged/acts.ts';
import { Bindings } from '../privileged/bindings.ts';
import { Permits } from '../privileged/permits.ts';
import { isStartedAnew } from '../state/boots.ts';
import { lockHost } from '../state/host-lock.ts';
import { prepareHeld } from './prepare-held.ts';

/** With all of the agent's options, so that both read the same file; only some matter here. */
const program = defineProgram({
  ...agentProgram,
  name: 'cyborg-agent prepare-held',
  summary:
    'After the host was started anew: makes the virtual functions again and binds again what guests held, from the agent’s notes, and ends. To be run before libvirt starts its machines (cyborg-agent-prepare.service). It takes the options of the agent.',
});

/** @returns the exit status: 0 also when something could not be prepared, which is then said. */
export async function runPrepareHeld(argv: readonly string[]): Promise<number> {
  try {
    const parsed = parseOptions(program, { argv, env: process.env, cwd: process.cwd() });
    if (parsed.kind === 'run') await run(parsed.options);
    else process.stdout.write(helpText(program));
    return 0;
  } catch (error) {
    process.stderr.write(`cyborg-agent prepare-held: ${escaped(messageOf(error))}\n`);
    return error instanceof OptionError ? error.exitCode : 0;
  }
}

async function run(options: AgentOptions): Promise<void> {
  const { logLevel: level, logFormat: format, procRoot } = options;
  const log = makeLogger({ name: 'cyborg-agent', level, format, clock: systemClock });
  const stateDir = await realpath(options.stateDir).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (stateDir === undefined || options.simulated) {
    log.info({}, 'this host has nothing to prepare');
    return;
  }
  await using _lock = await lockHost(stateDir, process.pid);
  if (!(await isStartedAnew({ stateDir, procRoot }))) {
    log.info({}, 'this host was not started anew since the agent ran');
    return;
  }
  await prepare(stateDir, options, log);
}

async function prepare(stateDir: string, options: AgentOptions, log: Log): Promise<void> {
  const { sysfsRoot, procRoot, devRoot, patience, loadModule: allowedModules, simulated } = options;
  const world = {
    clock: systemClock,
    log,
    simulated,
    roots: { sysfs: sysfsRoot, proc: procRoot, dev: devRoot },
    stateDir,
  };
  const preparation = new HostPreparation({
    ...world,
    hostRoot: '/',
    allowedModules,
    commands: hostCommands,
  });
  const acts = new PrivilegedActs({
    ...world,
    preparation,
    permits: new Permits(),
    lease: { isHeld: () => false },
    timeoutMs: agentDefaults.privilegedActTimeoutMs * patience,
  });
  const bindings = new Bindings(stateDir, log);
  const loadModule = preparation.loadModule.bind(preparation);
  await prepareHeld({ clock: systemClock, log, acts, bindings, loadModule });
}

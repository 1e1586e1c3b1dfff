/** `cyborg-agent run`: options, the lock, the signals, the end. */
import { mkdir, readFile, realpath } from 'node:fs/promises';
import { hostname, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import process from 'node:process';
import { driverLimits, patient } from '@cyborg/driver-host/limits';
import { escaped } from '@cyborg/model/plain-text';
import { readTrust } from '@cyborg/driver-package/read-trust';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { OptionError } from '@cyborg/service/option-error';
import { helpText } from '@cyborg/service/option-help';
import { parseOptions } from '@cyborg/service/options';
import { systemRng } from '@cyborg/service/rng';
import { makeShutdown } from '@cyborg/service/shutdown';
import { startTracing } from '@cyborg/service/tracing';
import { startAgent } from './agent.ts';
import { agentDefaults } from './limits.ts';
import { lockHost } from './state/host-lock.ts';
import { messageOf } from './hypervisors/node-error.ts';
import { pciEventsCommand } from './inventory/hardware-events.ts';
import { parseListen, type ListenAddress } from './metrics/listener.ts';
import { openHypervisor } from './open-hypervisor.ts';
import {
  agentProgram,
  metricsDefault,
  noMetrics,
  toHostName,
  type AgentOptions,
} from './options.ts';
import { agentVersion } from './version.ts';

/** Runs until a signal ends it. @returns the exit status of a start that failed. */
export async function runCommand(argv: readonly string[]): Promise<number> {
  try {
    const parsed = parseOptions(agentProgram, { argv, env: process.env, cwd: process.cwd() });
    if (parsed.kind === 'help') process.stdout.write(helpText(agentProgram));
    else if (parsed.kind === 'version') process.stdout.write(`cyborg-agent ${agentVersion}\n`);
    else return await run(parsed.options);
    return 0;
  } catch (error) {
    process.stderr.write(`cyborg-agent: ${escaped(messageOf(error))}\n`);
    return error instanceof OptionError ? error.exitCode : 1;
  }
}

async function run(options: AgentOptions): Promise<number> {
  const { logLevel: level, logFormat: format } = options;
  const log = makeLogger({ name: 'cyborg-agent', level, format, clock: systemClock });
  await mkdir(options.stateDir, { recursive: true, mode: 0o700 });
  const stateDir = await realpath(options.stateDir);
  const lock = await lockHost(stateDir, process.pid);
  const ended = Promise.withResolvers<number>();
  const shutdown = makeShutdown({
    clock: systemClock,
    log,
    timeLimitMs: (options.stopGrace + 15) * 1000,
    exit: (code) => process.exit(code),
  });
  shutdown.listen(process);
  shutdown.add('host lock', async () => lock[Symbol.asyncDispose]());
  const tracing = await startTracing({
    ...options,
    service: 'cyborg-agent',
    version: agentVersion,
    instance: options.hostName ?? toHostName(hostname()),
    log,
  });
  shutdown.add('traces', async () => tracing[Symbol.asyncDispose]());
  const hypervisor = await openHypervisor(
    { ...options, stateDir },
    {
      clock: systemClock,
      rng: systemRng,
    },
  );
  const agent = await startAgent({
    clock: systemClock,
    rng: systemRng,
    log,
    hypervisor,
    server: options.server,
    ca: options.caFile === undefined ? undefined : await readFile(options.caFile, 'utf8'),
    stateDir,
    host: {
      name: options.hostName ?? toHostName(hostname()),
      nodeName: options.nodeName ?? hostname(),
    },
    joinToken: options.joinToken,
    joinTokenFile: options.joinTokenFile,
    facts: factsOf(options),
    simulated: options.simulated,
    roots: { sysfs: options.sysfsRoot, proc: options.procRoot, dev: options.devRoot },
    loadModules: options.loadModule,
    driversDirs: [builtInDrivers(), ...options.driversDir],
    uid: process.getuid?.() ?? 0,
    execPath: process.execPath,
    driverTrust: readTrust(options),
    metricsListen: toListen(options),
    driverLimits: patient(driverLimits, options.patience),
    privilegedActTimeoutMs: agentDefaults.privilegedActTimeoutMs * options.patience,
    inventoryIntervalMs: options.inventoryInterval * 1000,
    hardwareEventsCommand: options.simulated ? undefined : pciEventsCommand,
    instanceIntervalMs: options.instanceInterval * 1000,
    attachDeadlineMs: options.attachDeadline * 1000,
    stopGraceMs: options.stopGrace * 1000,
  });
  shutdown.add('agent', async () => agent[Symbol.asyncDispose]());
  agent.failed.then(
    (error) => shutdown.begin(messageOf(error), 1),
    () => undefined,
  );
  log.info({ version: agentVersion, stateDir }, 'the agent runs');
  return await ended.promise;
}

/** Many simulated hosts share a machine: they serve none unless told to. */
function toListen({ metricsListen, simulated }: AgentOptions): ListenAddress | undefined {
  const wish = metricsListen ?? (simulated ? noMetrics : metricsDefault);
  return wish === noMetrics ? undefined : parseListen(wish);
}

function builtInDrivers(): string {
  return fileURLToPath(new URL('../../../drivers', import.meta.url));
}

function factsOf({ simulated, hypervisor }: AgentOptions): Record<string, string> {
  return {
    architecture: process.arch,
    hypervisor,
    kernel: release(),
    node: process.versions.node,
    simulated: String(simulated),
  };
}

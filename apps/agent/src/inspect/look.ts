/** `cyborg-agent look`: what the kernel and the hypervisor of this host say, without server, agent or state. For cyborg-inspect. */
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { escaped } from '@cyborg/model/plain-text';
import { systemClock } from '@cyborg/service/clock';
import { withDeadline } from '@cyborg/service/deadline';
import { OptionError } from '@cyborg/service/option-error';
import { helpText } from '@cyborg/service/option-help';
import { defineProgram, type OptionsOf } from '@cyborg/service/option-schema';
import { parseOptions } from '@cyborg/service/options';
import { systemRng } from '@cyborg/service/rng';
import { hasCode, messageOf } from '../hypervisors/node-error.ts';
import { agentDefaults } from '../limits.ts';
import { openHypervisor } from '../open-hypervisor.ts';
import { agentProgram } from '../options.ts';

const { hypervisor, qmpDir, libvirtUri, simulated, simulatedDir, sysfsRoot, procRoot, devRoot } =
  agentProgram.options;

const program = defineProgram({
  ...agentProgram,
  name: 'cyborg-agent look',
  summary:
    'Prints as JSON what the kernel and the hypervisor of this host say now; changes nothing.',
  options: {
    hypervisor,
    qmpDir,
    libvirtUri,
    simulated,
    simulatedDir,
    sysfsRoot,
    procRoot,
    devRoot,
  },
});
type LookOptions = OptionsOf<typeof program.options>;

/** @returns the exit status: 0 also when something could not be looked at, which is then said. */
export async function runLook(argv: readonly string[]): Promise<number> {
  try {
    const parsed = parseOptions(program, { argv, env: process.env, cwd: process.cwd() });
    if (parsed.kind !== 'run') {
      process.stdout.write(helpText(program));
      return 0;
    }
    const { options } = parsed;
    const said = {
      functions: lookAtBus(options.sysfsRoot),
      hypervisor: await lookAtGuests(options),
    };
    process.stdout.write(`${JSON.stringify(said)}\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`cyborg-agent look: ${escaped(messageOf(error))}\n`);
    return error instanceof OptionError ? error.exitCode : 1;
  }
}

function lookAtBus(sysfs: string): object {
  const bus = join(sysfs, 'bus/pci/devices');
  try {
    return readdirSync(bus).map((address) => ({
      address,
      kernel_driver: driverOf(join(bus, address, 'driver')),
    }));
  } catch (error) {
    return { unknown: `${bus} cannot be read: ${messageOf(error)}` };
  }
}

function driverOf(link: string): string | null {
  try {
    return basename(readlinkSync(link));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null;
    throw error;
  }
}

/** The adapters' own notes go into a folder of this run. */
async function lookAtGuests(options: LookOptions): Promise<object> {
  if (options.hypervisor === 'none') return { unknown: 'this host has no hypervisor to ask' };
  if (options.hypervisor === 'simulated' && !isThere(options.simulatedDir)) {
    return { unknown: '--simulated-dir names no simulated hypervisor' };
  }
  const stateDir = await mkdtemp(join(tmpdir(), 'cyborg-look-'));
  try {
    const others = { hostName: 'look', simulatedInstances: undefined, stateDir };
    const opened = await openHypervisor(
      { ...options, ...others },
      { clock: systemClock, rng: systemRng, isReadOnly: true },
    );
    if (opened === null) return { unknown: 'this host has no hypervisor to ask' };
    await using adapter = opened;
    const listing = await withDeadline((signal) => adapter.list(signal), {
      clock: systemClock,
      timeoutMs: agentDefaults.hypervisorTimeoutMs,
      what: `Listing the instances of ${adapter.kind}`,
    });
    return {
      is_complete: listing.unknownCount === 0,
      devices: listing.instances.flatMap(({ id, devices }) =>
        devices.map(({ name }) => ({ name, instance_id: id })),
      ),
    };
  } catch (error) {
    return { unknown: messageOf(error) };
  } finally {
    await rm(stateDir, { recursive: true, force: true });
  }
}

function isThere(directory: string | undefined): boolean {
  return directory !== undefined && existsSync(join(directory, 'format'));
}

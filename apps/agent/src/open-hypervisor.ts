import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hostname } from 'node:os';
import Type from 'typebox';
import { Value } from 'typebox/value';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import type { Hypervisor, InstanceState } from './hypervisors/hypervisor.ts';
import { messageOf } from './hypervisors/node-error.ts';
import type { SeedInstance } from './hypervisors/simulated/simulated.ts';
import { toHostName, type AgentOptions } from './options.ts';

const SeedsSchema = Type.Array(
  Type.Object(
    {
      name: Type.String({ minLength: 1, maxLength: 255 }),
      state: Type.Optional(Type.String()),
      project_id: Type.Optional(Type.Union([Type.String({ minLength: 1 }), Type.Null()])),
    },
    { additionalProperties: false },
  ),
  { maxItems: 1024 },
);

const states: readonly InstanceState[] = [
  'ACTIVE',
  'PAUSED',
  'SHUTOFF',
  'SUSPENDED',
  'ERROR',
  'UNKNOWN',
];

export type HypervisorOptions = Pick<
  AgentOptions,
  | 'hypervisor'
  | 'qmpDir'
  | 'libvirtUri'
  | 'simulated'
  | 'simulatedDir'
  | 'simulatedInstances'
  | 'stateDir'
  | 'hostName'
  | 'sysfsRoot'
  | 'procRoot'
  | 'devRoot'
>;

/** Adapters are loaded when they are used: at rest an agent should be small. */
export async function openHypervisor(
  options: HypervisorOptions,
  { clock, rng, isReadOnly = false }: { clock: Clock; rng: Rng; isReadOnly?: boolean },
): Promise<Hypervisor | null> {
  const { stateDir } = options;
  // A recorded function may have the address of a real one.
  const vfioFile = options.simulated ? null : join(options.devRoot, 'vfio/vfio');
  if (options.hypervisor === 'none') return null;
  if (options.hypervisor === 'qemu') {
    const { openQemuHypervisor } = await import('./hypervisors/qemu/qemu.ts');
    return await openQemuHypervisor({
      directory: options.qmpDir,
      clock,
      memoryFile: join(stateDir, 'qemu-instances.json'),
      procRoot: options.procRoot === '/proc' || !options.simulated ? options.procRoot : '/proc',
      sysfsRoot: options.simulated ? '/sys' : options.sysfsRoot,
      vfioFile,
    });
  }
  if (options.hypervisor === 'libvirt') {
    const { openLibvirtHypervisor } = await import('./hypervisors/libvirt/libvirt.ts');
    return await openLibvirtHypervisor({
      uri: options.libvirtUri,
      clock,
      rng,
      directory: join(stateDir, 'libvirt'),
      procRoot: options.procRoot,
      sysfsRoot: options.simulated ? '/sys' : options.sysfsRoot,
      vfioFile,
    });
  }
  const { openSimulatedHypervisor } = await import('./hypervisors/simulated/simulated.ts');
  const directory = options.simulatedDir ?? join(stateDir, 'hypervisor');
  if (!isReadOnly) await mkdir(directory, { recursive: true });
  return await openSimulatedHypervisor({
    directory,
    clock,
    isReadOnly,
    hostName: options.hostName ?? toHostName(hostname()),
    seedInstances: await readSeeds(options.simulatedInstances),
  });
}

async function readSeeds(file: string | undefined): Promise<SeedInstance[]> {
  if (file === undefined) return [];
  try {
    const seeds = Value.Parse(SeedsSchema, JSON.parse(await readFile(file, 'utf8')));
    return seeds.map(({ name, state, project_id: projectId }) => ({
      name,
      state: toState(state ?? 'ACTIVE'),
      projectId: projectId ?? null,
    }));
  } catch (error) {
    throw new Error(`--simulated-instances ${file}: ${messageOf(error)}`, { cause: error });
  }
}

function toState(text: string): InstanceState {
  const state = states.find((known) => known === text);
  if (state === undefined) throw new Error(`state "${text}" is none of ${states.join(', ')}`);
  return state;
}

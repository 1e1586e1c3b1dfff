/** Three simulated hosts: sysfs trees of machines that nobody has at hand, and hypervisors with a few instances. */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Roots } from '@cyborg/driver-sdk/protocol';

import type { LocalHost } from './hosts.ts';

interface DemoHost {
  readonly name: string;
  /** The first one is ACTIVE, so that there is always one to attach to. */
  readonly instances: readonly { readonly name: string; readonly state: string }[];
  readonly layOut: (folder: string) => Promise<Roots>;
}

const recordings = join(import.meta.dirname, '../../../../labs/pci/fixtures');

const demoHosts: readonly DemoHost[] = [
  {
    name: 'demo-gpu',
    instances: [
      { name: 'train-1', state: 'ACTIVE' },
      { name: 'train-2', state: 'ACTIVE' },
      { name: 'notebook', state: 'SHUTOFF' },
    ],
    layOut: async (folder) => {
      const { buildTree, eightGpuServer } = await loadTrees();
      return buildTree(folder, eightGpuServer());
    },
  },
  {
    name: 'demo-crypto-fpga',
    instances: [
      { name: 'gateway', state: 'ACTIVE' },
      { name: 'transcoder', state: 'PAUSED' },
    ],
    layOut: async (folder) => {
      const { buildTree, cryptoAndFpgaHost } = await loadTrees();
      return buildTree(folder, cryptoAndFpgaHost());
    },
  },
  {
    name: 'demo-recorded',
    instances: [
      { name: 'database', state: 'ACTIVE' },
      { name: 'cache', state: 'ACTIVE' },
    ],
    layOut: async (folder) => {
      const { layOutRecording } = await loadTrees();
      return layOutRecording(join(recordings, 'fresh.json.gz'), folder);
    },
  },
];

/** Only a demo pays for loading them. */
async function loadTrees(): Promise<
  typeof import('@cyborg/driver-sdk/recording') &
    typeof import('@cyborg/driver-sdk/example-trees') &
    typeof import('@cyborg/driver-sdk/tree-builder')
> {
  return {
    ...(await import('@cyborg/driver-sdk/recording')),
    ...(await import('@cyborg/driver-sdk/example-trees')),
    ...(await import('@cyborg/driver-sdk/tree-builder')),
  };
}

/** Trees and instances are made once and then belong to whoever plays with them. */
export async function layOutDemo(stateDir: string, project: string): Promise<LocalHost[]> {
  const hosts: LocalHost[] = [];
  for (const host of demoHosts) hosts.push(await layOutHost(host, { stateDir, project }));
  return hosts;
}

async function layOutHost(
  { name, instances, layOut }: DemoHost,
  { stateDir, project }: { stateDir: string; project: string },
): Promise<LocalHost> {
  const folder = join(stateDir, 'demo', name);
  const machine = join(folder, 'machine');
  const seeds = join(folder, 'instances.json');
  const laidOut = join(folder, 'laid-out');
  if (!existsSync(laidOut)) {
    await mkdir(machine, { recursive: true });
    await layOut(machine);
    const list = instances.map((instance) => ({ ...instance, project_id: project }));
    await writeFile(seeds, JSON.stringify(list, null, 2));
    for (const part of ['sys', 'proc', 'dev'])
      await mkdir(join(machine, part), { recursive: true });
    await writeFile(laidOut, '');
  }
  return {
    name,
    isSimulated: true,
    stateDir: join(stateDir, 'agents', name),
    agentOptions: [
      '--node-name',
      name,
      '--sysfs-root',
      join(machine, 'sys'),
      '--proc-root',
      join(machine, 'proc'),
      '--dev-root',
      join(machine, 'dev'),
      '--hypervisor',
      'simulated',
      '--simulated-dir',
      join(folder, 'hypervisor'),
      '--simulated-instances',
      seeds,
    ],
  };
}

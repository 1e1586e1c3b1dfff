/** A host made of files, on which privileged acts are done. */
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TakenFunction } from '@cyborg/api-spec/agent/desired';
import type { AgentMethod, Inventory } from '@cyborg/driver-sdk/protocol';
import { buildTree, type FunctionDescription, type Leaf } from '@cyborg/driver-sdk/tree-builder';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { Backend } from '../src/driver-host/backend.ts';
import { hostCommands } from '../src/host-needs/commands.ts';
import { HostPreparation } from '../src/host-needs/host-preparation.ts';
import { PrivilegedActs } from '../src/privileged/acts.ts';
import type { Binding, Unprobed } from '../src/privileged/bindings.ts';
import { Permits } from '../src/privileged/permits.ts';
import { makeBackend } from './agent-under-test.ts';

export const address = '0000:21:00.0';
export const other = '0000:21:00.1';
export const gpu: FunctionDescription = {
  address,
  vendor: 0x10de,
  device: 0x1eb8,
  class: 0x030200,
  iommuGroup: 7,
};

/** One process, in the namespace in which every process is seen. */
export const quietProc = {
  '/proc/self/ns/pid': { linkText: 'pid:[4026531836]' },
  '/proc/self/mountinfo': '22 1 0:5 / / rw - tmpfs tmpfs rw\n',
  '/proc/swaps': 'Filename Type Size Used Priority\n',
  '/proc/crypto': 'name : sha256\nmodule : kernel\nrefcnt : 1\n',
  '/proc/77/fd/0': { linkText: '/dev/null' },
  '/proc/77/comm': 'sh\n',
};

export interface Host extends AsyncDisposable {
  readonly act: (method: AgentMethod, params?: object) => Promise<object>;
  readonly read: (path: string) => Promise<string>;
  readonly root: string;
}

/** A host in whose inventory the first of these functions is, and an order about it is being carried out, unless said. */
export async function makeHost({
  functions,
  files = {},
  bindings = [],
  unprobed = [],
  isOrdered = true,
  taken = [],
  loadModule,
}: {
  readonly functions: readonly FunctionDescription[];
  readonly files?: Readonly<Record<string, Leaf>>;
  readonly bindings?: readonly Omit<Binding, 'backend'>[];
  readonly unprobed?: readonly Unprobed[];
  readonly isOrdered?: boolean;
  /** By the ledger's word, which may not be heard. */
  readonly taken?: readonly Omit<TakenFunction, 'backend_id'>[] | 'unheard';
  /** Unless told, host policy lets the agent load none. */
  readonly loadModule?: (name: string, root: string) => Promise<undefined>;
}): Promise<Host> {
  const root = await mkdtemp(join(tmpdir(), 'cyborg-acts-'));
  const { sysfs } = buildTree(root, { functions, files: { ...quietProc, ...files } });
  await mkdir(join(root, 'state'));
  const backend = new Backend(makeBackend({ id: randomUUID() }), () => undefined);
  const { id } = backend.wanted;
  const notes = bindings.map((note) => ({ ...note, backend: id }));
  await writeFile(
    join(root, 'state', 'bindings.json'),
    JSON.stringify({ functions: notes, unprobed }),
  );
  backend.setInventory(inventoryOf(functions[0]?.address ?? address));
  const permits = new Permits();
  if (isOrdered) permits.grant(id, 'fn');
  const world = {
    clock: systemClock,
    log: makeLogger({ name: 'test', level: 'silent', clock: systemClock }),
    simulated: false,
    roots: { sysfs, proc: join(root, 'proc'), dev: '/dev' },
    stateDir: join(root, 'state'),
  };
  const policy = { hostRoot: root, allowedModules: [], commands: hostCommands };
  const acts = new PrivilegedActs({
    ...world,
    timeoutMs: 30_000,
    permits,
    lease: { isHeld: () => true },
    held: {
      taken: async () =>
        taken === 'unheard' ? undefined : taken.map((one) => ({ ...one, backend_id: id })),
    },
    preparation:
      loadModule === undefined
        ? new HostPreparation({ ...world, ...policy })
        : { loadModule: (name) => loadModule(name, root) },
  });
  return {
    act: async (method, params = {}) =>
      await acts.do(
        method,
        { backend: 'demo', address: functions[0]?.address, ...params },
        backend,
      ),
    read: async (path) => await readFile(join(root, path), 'utf8'),
    root,
    [Symbol.asyncDispose]: async () => await rm(root, { recursive: true, force: true }),
  };
}

/** One function, which is listed; what the host has it for is told with it. */
export function inventoryOf(at: string, hostUse: string | null = null): Inventory {
  const [domain = '', bus = '', slot = '', fn = ''] = at.split(/[:.]/u);
  const accelerator = {
    key: 'fn',
    name: 'fn',
    type: 'GPU' as const,
    plans: ['pci' as const],
    offered: true,
    reason: null,
    host_use: hostUse,
    attach_info: { domain, bus, device: slot, function: fn },
  };
  const deployable = { key: 'd', name: 'd', resource_class: 'PGPU', traits: [] };
  const device = {
    key: 'card',
    address: at,
    vendor_id: '0x10de',
    device_id: '0x1eb8',
    class: '0x030200',
    type: 'GPU' as const,
    vendor: null,
    model: null,
    serial: null,
    numa_node: null,
    iommu_group: null,
    kernel_driver: null,
    offered: true,
    reason: null,
    health: { status: 'healthy' as const, reason: null },
    info: {},
    deployables: [{ ...deployable, accelerators: [accelerator] }],
  };
  return { devices: [device], services: [] };
}

export function boundFor(heldFor: readonly string[], at: string): Omit<Binding, 'backend'> {
  const found = { driver: null, override: null };
  return {
    address: at,
    ids: '0x10de:0x1eb8',
    ...found,
    boundTo: 'vfio-pci',
    heldFor: [...heldFor],
  };
}

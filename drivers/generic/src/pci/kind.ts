/** Kind `pci`: the host's own PCI functions, by class and by rules. */
import { defineKind, type BackendContext, type Kind } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { AttachPlan, DriverAccelerator, Inventory } from '@cyborg/driver-sdk/protocol';
import { ScanProcess } from '@cyborg/driver-sdk/scan-process';
import { pciConfig, type PciConfig } from './config.ts';
import type { KnownIdentities } from './identity.ts';
import type { HostScanInput, OpenNodesAnswer, OpenNodesQuestion } from './scan-host.ts';
import type { ScanOutput } from './scan.ts';

/** What the protocol takes as a text. */
const textLengthMax = 1024;

type Context = BackendContext<PciConfig>;

export interface PciKind {
  readonly kind: Kind;
  /** Ends the scanning process. */
  close(): void;
}

/** What is remembered of one backend between calls. A restart forgets it, and nothing is lost by that. */
interface Memory {
  known: KnownIdentities;
  inventory: Inventory | undefined;
}

export function openPciKind(): PciKind {
  let log: Context['log'] | undefined;
  const scanner = new ScanProcess<HostScanInput, ScanOutput>({
    module: new URL('./scan-host.ts', import.meta.url),
    onBlocked: (path) => log?.('warn', `${path} does not answer: taken for unreadable from now on`),
  });
  const memories = new Map<string, Memory>();

  async function discover(context: Context): Promise<Inventory> {
    log = context.log;
    const memory = memories.get(context.backend) ?? { known: {}, inventory: undefined };
    const found = await scanner.run(toScanInput(context, memory), {
      signal: context.signal,
      // The scan asks nothing else.
      onQuestion: async (question) => await askOpenNodes(context, question as OpenNodesQuestion),
    });
    const inventory = nameUnreadable(found.inventory, scanner.blockedPaths);
    memories.set(context.backend, { known: found.known, inventory });
    return inventory;
  }

  /** In the last inventory, or else in a new one: the driver may have been restarted since. */
  async function find(context: Context, key: string): Promise<DriverAccelerator | undefined> {
    const last = memories.get(context.backend)?.inventory;
    return findIn(last, key) ?? findIn(await discover(context), key);
  }

  const kind = defineKind({
    title: 'PCI functions of this host, by class and by rules',
    config: pciConfig,
    delegable: [], // what hardware is listed and given out is an admin's business
    install: (_context, { dryRun }) => {
      if (!dryRun) scanner.warm();
      return { status: 'ready' };
    },
    uninstall: ({ backend }, { dryRun }) => {
      if (!dryRun) memories.delete(backend);
      return { status: 'ready' };
    },
    discover,
    prepare: async (context, { accelerator: key, plugs }) => {
      const accelerator = await find(context, key);
      return planOf(context, { key, plugs, accelerator });
    },
    release: (context) => requireSimulated(context, 'release'),
    clean: (context) => {
      requireSimulated(context, 'clean');
      return ['simulated'];
    },
  });
  return { kind, close: () => scanner.close() };
}

function toScanInput(context: Context, memory: Memory): HostScanInput {
  const { sysfs, proc } = context.roots;
  return {
    roots: { sysfs, proc },
    isSimulated: context.simulated,
    hostName: context.host.name,
    config: context.config,
    // Another host's tree, or a recorded one, has its own processes or none.
    asksAgent: !context.simulated && proc === '/proc',
    boundByUs: [], // binding comes with VFIO
    known: memory.known,
  };
}

async function askOpenNodes(
  { ask }: Context,
  { nodes }: OpenNodesQuestion,
): Promise<OpenNodesAnswer> {
  try {
    return await ask('openNodes', { nodes: [...nodes] });
  } catch (error) {
    if (error instanceof DriverError && error.code === 'unsupported') return 'unknown';
    throw error;
  }
}

/** Says at each device which of its files do not answer. */
function nameUnreadable(inventory: Inventory, blocked: readonly string[]): Inventory {
  if (blocked.length === 0) return inventory;
  const devices = inventory.devices.map((device) => {
    const paths = blocked.filter((path) => path.includes(`/${device.address}/`));
    if (paths.length === 0) return device;
    const unreadable = `${paths.join(', ')} does not answer`.slice(0, textLengthMax);
    return { ...device, info: { ...device.info, unreadable } };
  });
  return { ...inventory, devices };
}

function findIn(inventory: Inventory | undefined, key: string): DriverAccelerator | undefined {
  const parts = inventory?.devices.flatMap((device) => device.deployables) ?? [];
  return parts.flatMap((part) => part.accelerators).find((item) => item.key === key);
}

interface PlanRequest {
  readonly key: string;
  readonly plugs: readonly string[];
  readonly accelerator: DriverAccelerator | undefined;
}

function planOf(context: Context, { key, plugs, accelerator }: PlanRequest): AttachPlan {
  if (accelerator === undefined) {
    throw new DriverError('gone', `backend ${context.backend} has no accelerator ${key}`);
  }
  requireSimulated(context, 'prepare');
  if (accelerator.host_use !== null) {
    throw new DriverError('host-use', `${accelerator.name}: ${accelerator.host_use}`);
  }
  if (!plugs.includes('pci')) {
    const offer = plugs.join(', ') || 'nothing';
    throw new DriverError(
      'unsupported',
      `${key} needs pci; the instance's hypervisor can plug ${offer}`,
    );
  }
  const { domain = '', bus = '', device = '', function: fn = '' } = accelerator.attach_info;
  return { kind: 'pci', address: `${domain}:${bus}:${device}.${fn}` };
}

/** Real functions are given to guests through VFIO, which this version does not do yet. */
function requireSimulated(context: Context, act: string): void {
  if (context.simulated) return;
  const message = `backend ${context.backend}: ${act} of a PCI function is not supported by this version`;
  throw new DriverError('unsupported', message);
}

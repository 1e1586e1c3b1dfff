/** Kind `pci`: the host's own PCI functions, by class and by rules. */
import { defineKind, type BackendContext, type Kind } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { AttachPlan, DriverAccelerator, Health, Inventory } from '@cyborg/driver-sdk/protocol';
import { Definitions } from '../definitions/load.ts';
import { HealthWatch, healthByAccelerator, type HealthReader } from '../health/watch.ts';
import { pciConfig, type PciConfig } from './config.ts';
import type { KnownIdentities } from './identity.ts';
import type { PciScanner } from './scanner.ts';

/** What the protocol takes as a text. */
const textLengthMax = 1024;

type Context = BackendContext<PciConfig>;

/** What is remembered of one backend between calls. A restart forgets it, and nothing is lost by that. */
interface Memory {
  known: KnownIdentities;
  inventory: Inventory | undefined;
  readonly watch: HealthWatch;
}

export function openPciKind(scanner: PciScanner, healthReader: HealthReader): Kind {
  const memories = new Map<string, Memory>();
  const catalogue = new Definitions();

  function memoryOf({ backend }: Context): Memory {
    const known = memories.get(backend);
    if (known !== undefined) return known;
    const memory = { known: {}, inventory: undefined, watch: new HealthWatch(healthReader) };
    memories.set(backend, memory);
    return memory;
  }

  async function discover(context: Context): Promise<Inventory> {
    const memory = memoryOf(context);
    const { config } = context;
    const definitions = await catalogue.of(config);
    const { healths } = memory.watch;
    const found = await scanner.scan(context, {
      config,
      known: memory.known,
      definitions,
      healths,
    });
    const inventory = nameUnreadable(found.inventory, scanner.blockedPaths);
    memory.known = found.known;
    memory.inventory = inventory;
    memory.watch.follow(context, inventory, definitions);
    return inventory;
  }

  async function readHealth(context: Context): Promise<Record<string, Health>> {
    const memory = memoryOf(context);
    const { devices } = memory.inventory ?? (await discover(context));
    const healths = await memory.watch.read(context);
    return healthByAccelerator(devices, healths);
  }

  /** In the last inventory, or else in a new one: the driver may have been restarted since. */
  async function find(context: Context, key: string): Promise<DriverAccelerator | undefined> {
    const last = memories.get(context.backend)?.inventory;
    return findIn(last, key) ?? findIn(await discover(context), key);
  }

  return defineKind({
    title: 'PCI functions of this host, by class and by rules',
    config: pciConfig,
    delegable: [], // what hardware is listed and given out is an admin's business
    install: async ({ config }, { dryRun }) => {
      await catalogue.of(config);
      if (!dryRun) scanner.warm();
      return { status: 'ready' };
    },
    uninstall: ({ backend }, { dryRun }) => {
      if (!dryRun) {
        memories.get(backend)?.watch.stop();
        memories.delete(backend);
      }
      return { status: 'ready' };
    },
    discover,
    health: readHealth,
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
  if (!accelerator.plans.includes('pci')) {
    throw new DriverError(
      'unsupported',
      `${accelerator.name}: ${accelerator.obstacle ?? 'it has no plan'}`,
    );
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

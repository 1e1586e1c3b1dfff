/** Kind `pci`: the host's own PCI functions, by class and by rules. */
import {
  defineKind,
  type BackendContext,
  type CleanOrder,
  type Kind,
  type PrepareOrder,
  type ReleaseOrder,
} from '@cyborg/driver-sdk/define-driver';
import type { AttachPlan, DriverAccelerator, Health, Inventory } from '@cyborg/driver-sdk/protocol';
import { Definitions } from '../definitions/load.ts';
import { HealthWatch, healthByAccelerator, type HealthReader } from '../health/watch.ts';
import { pciConfig, type PciConfig } from './config.ts';
import type { Handlings } from './handling.ts';
import type { KnownIdentities } from './identity.ts';
import { readKnown, writeKnown } from './known-file.ts';
import { findIn, gone, planOf, toPlan, type Found } from './plan.ts';
import type { PciScanner } from './scanner.ts';
import { divide, findDivisions, undivideAll } from './vfs.ts';
import { giveAllBack, makeReady, takeBack, type Cleaner } from './vfio.ts';

/** What the protocol takes as a text. */
const textLengthMax = 1024;

type Context = BackendContext<PciConfig>;

/** What is remembered of one backend between calls. A restart forgets it, and nothing is lost by that. */
interface Memory {
  known: KnownIdentities | undefined;
  inventory: Inventory | undefined;
  handlings: Handlings;
  readonly watch: HealthWatch;
}

export interface PciTools {
  readonly scanner: PciScanner;
  readonly healthReader: HealthReader;
  readonly cleaner: Cleaner;
}

export function openPciKind(tools: PciTools): Kind {
  const kind = new PciKind(tools);
  return defineKind({
    title: 'PCI functions of this host, by class and by rules',
    config: pciConfig,
    delegable: [], // what hardware is listed and given out is an admin's business
    install: async (context, { dryRun }) => {
      await kind.install(context, dryRun);
      return { status: 'ready' };
    },
    uninstall: async (context, { dryRun }) => {
      if (!dryRun) await kind.uninstall(context);
      return { status: 'ready' };
    },
    discover: async (context) => kind.discover(context),
    health: async (context) => kind.readHealth(context),
    prepare: async (context, order) => kind.prepare(context, order),
    release: async (context, order) => kind.release(context, order),
    clean: async (context, order) => kind.clean(context, order),
  });
}

class PciKind {
  readonly #tools: PciTools;
  readonly #memories = new Map<string, Memory>();
  readonly #catalogue = new Definitions();

  constructor(tools: PciTools) {
    this.#tools = tools;
  }

  async install({ config }: Context, isDryRun: boolean): Promise<void> {
    await this.#catalogue.of(config);
    if (!isDryRun) this.#tools.scanner.warm();
  }

  async uninstall(context: Context): Promise<void> {
    const memory = this.#memories.get(context.backend);
    const handlings = memory?.handlings ?? {};
    if (!context.simulated) {
      await giveAllBack(context, Object.keys(handlings));
      await undivideAll(context, handlings);
    }
    memory?.watch.stop();
    this.#memories.delete(context.backend);
  }

  async discover(context: Context): Promise<Inventory> {
    const memory = this.#memoryOf(context);
    const before = new Set(memory.inventory?.devices.map(({ address }) => address));
    const inventory = await this.#scan(context);
    const divisions = context.simulated ? [] : findDivisions(inventory, memory.handlings);
    if (divisions.length === 0) return inventory;
    const known = divisions.filter(({ address }) => before.has(address));
    // The agent does nothing to a card that it was never told of: it is told, and asks again.
    if (known.length < divisions.length) context.inventoryChanged();
    if (known.length === 0) return inventory;
    const refused = await divide(context, known);
    return nameUndivided(await this.#scan(context), refused);
  }

  async readHealth(context: Context): Promise<Record<string, Health>> {
    const memory = this.#memoryOf(context);
    const { devices } = memory.inventory ?? (await this.discover(context));
    const healths = await memory.watch.read(context);
    return healthByAccelerator(devices, healths);
  }

  async prepare(context: Context, { accelerator: key, plugs }: PrepareOrder): Promise<AttachPlan> {
    const found = await this.#find(context, key, isUsable);
    const plan = planOf(context, { key, plugs, accelerator: found?.accelerator });
    if (context.simulated || found === undefined) return plan;
    const { handlings } = this.#memoryOf(context);
    await makeReady(context, plan, { accelerator: found.accelerator, handlings });
    return plan;
  }

  async release(context: Context, { accelerator: key }: ReleaseOrder): Promise<void> {
    if (context.simulated) return;
    const found = await this.#find(context, key);
    await takeBack(context, found && toPlan(context, found.accelerator));
  }

  async clean(context: Context, order: CleanOrder): Promise<string[]> {
    if (context.simulated) return ['simulated'];
    const { accelerator: key, resetless_reason: operatorReason, never_given = false } = order;
    const found = await this.#find(context, key);
    const plan = found && toPlan(context, found.accelerator);
    if (found === undefined || plan === undefined) throw gone(context, key);
    const { accelerator } = found;
    const { handlings } = this.#memoryOf(context);
    return await this.#tools.cleaner.clean(context, {
      plan,
      accelerator,
      handlings,
      operatorReason,
      isNeverGiven: never_given,
    });
  }

  #memoryOf({ backend }: Context): Memory {
    const known = this.#memories.get(backend);
    if (known !== undefined) return known;
    const watch = new HealthWatch(this.#tools.healthReader);
    const memory = { known: undefined, inventory: undefined, handlings: {}, watch };
    this.#memories.set(backend, memory);
    return memory;
  }

  async #scan(context: Context): Promise<Inventory> {
    const memory = this.#memoryOf(context);
    const { scanner } = this.#tools;
    const { config } = context;
    const definitions = await this.#catalogue.of(config);
    const known = memory.known ?? (await readKnown(context));
    const { healths } = memory.watch;
    const found = await scanner.scan(context, { config, known, definitions, healths });
    if (JSON.stringify(found.known) !== JSON.stringify(memory.known)) {
      await writeKnown(context, found.known);
    }
    const inventory = nameUnreadable(found.inventory, scanner.blockedPaths);
    memory.known = found.known;
    memory.inventory = inventory;
    memory.handlings = found.handling;
    memory.watch.follow(context, inventory, definitions);
    return inventory;
  }

  /** In the last inventory, or else in a new one: the driver may have been restarted, or the host changed, since. */
  async #find(
    context: Context,
    key: string,
    isGood: (accelerator: DriverAccelerator) => boolean = () => true,
  ): Promise<Found | undefined> {
    const last = findIn(this.#memories.get(context.backend)?.inventory, key);
    if (last !== undefined && isGood(last.accelerator)) return last;
    return findIn(await this.#scan(context), key);
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

/** Says at each card why it has not the virtual functions that it should have. */
function nameUndivided(inventory: Inventory, refused: ReadonlyMap<string, string>): Inventory {
  if (refused.size === 0) return inventory;
  const devices = inventory.devices.map((device) => {
    const why = device.address === null ? undefined : refused.get(device.address);
    if (why === undefined) return device;
    return { ...device, info: { ...device.info, vfs_not_made: why.slice(0, textLengthMax) } };
  });
  return { ...inventory, devices };
}

/** By the last look; another one may say better. */
function isUsable({ host_use: use, obstacle }: DriverAccelerator): boolean {
  return use === null && (obstacle ?? null) === null;
}

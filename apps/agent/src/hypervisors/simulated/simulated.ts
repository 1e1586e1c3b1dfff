/** A hypervisor whose instances and devices are files, for demo hosts, tests and benchmarks. The format: files.ts. */
import { mkdir, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { PlanKind } from '@cyborg/driver-sdk/protocol';
import type { Clock } from '@cyborg/service/clock';
import { checkDeviceName, isInstanceId } from '../device-name.ts';
import {
  HypervisorError,
  type Hypervisor,
  type InstanceListing,
  type InstanceState,
  type ObservedInstance,
  type PlugOrder,
  type UnplugOrder,
} from '../hypervisor.ts';
import { hasCode, messageOf } from '../node-error.ts';
import { readFaults, toNumber, type Faults } from './faults.ts';
import {
  createWhole,
  pathsOf,
  prepareFolder,
  readInstance,
  simulatedLimits,
  type InstanceFile,
  type SimulatedPaths,
} from './files.ts';
import { simulatedInstanceId } from './instance-id.ts';
import { modifiedNsOf, PluggedDevices } from './plugged-devices.ts';
import { watchFolders } from './watch.ts';

export interface SeedInstance {
  readonly name: string;
  readonly state?: InstanceState;
  readonly projectId?: string | null;
}

export interface SimulatedHypervisorOptions {
  /** Kept across restarts; made when missing. */
  readonly directory: string;
  readonly clock: Clock;
  /** Together with an instance's name it decides the instance's id. */
  readonly hostName: string;
  /** Made at the first start in this directory only. The first is ACTIVE unless it says otherwise. */
  readonly seedInstances: readonly SeedInstance[];
  /** Only looked at: nothing is made, tidied or seeded. */
  readonly isReadOnly?: boolean;
  /** What its instances can be given; everything unless told. */
  readonly plugs?: readonly PlanKind[];
}

const allPlugs: readonly PlanKind[] = [
  'pci',
  'mdev',
  'usb',
  'virtio-crypto',
  'virtio-rng',
  'vhost-user-blk',
];

/** States in which a device can be hot-plugged. */
const pluggable: ReadonlySet<InstanceState> = new Set<InstanceState>(['ACTIVE', 'PAUSED']);

export async function openSimulatedHypervisor(
  options: SimulatedHypervisorOptions,
): Promise<Hypervisor> {
  const paths = pathsOf(options.directory);
  if (options.isReadOnly !== true) {
    await prepareFolder(
      paths,
      options.seedInstances.map((seed, position) =>
        toInstanceFile(options.hostName, seed, position),
      ),
    );
  }
  return new SimulatedHypervisor(paths, options.clock, options.plugs ?? allPlugs);
}

function toInstanceFile(hostName: string, seed: SeedInstance, position: number): InstanceFile {
  return {
    id: simulatedInstanceId(hostName, seed.name),
    name: seed.name,
    position,
    project_id: seed.projectId ?? null,
    state: seed.state ?? 'ACTIVE',
  };
}

class SimulatedHypervisor implements Hypervisor {
  readonly kind = 'simulated';
  readonly plugs: readonly PlanKind[];
  readonly #paths: SimulatedPaths;
  readonly #clock: Clock;
  readonly #devices: PluggedDevices;
  readonly #watches = new Set<Disposable>();

  constructor(paths: SimulatedPaths, clock: Clock, plugs: readonly PlanKind[]) {
    this.#paths = paths;
    this.#devices = new PluggedDevices(paths);
    this.#clock = clock;
    this.plugs = plugs;
  }

  async list(signal: AbortSignal): Promise<InstanceListing> {
    return await this.#answering(signal, async (faults) => {
      const files = (await readdir(this.#paths.instances)).filter((name) => name.endsWith('.json'));
      const found: { readonly position: number; readonly instance: ObservedInstance }[] = [];
      const unknownIds: string[] = [];
      const warnings: string[] = [];
      for (const name of files.slice(0, simulatedLimits.instancesMax)) {
        const id = name.slice(0, -'.json'.length);
        const file = await readInstance(this.#paths, id);
        if (file === null) continue;
        if (file === 'broken') warnings.push(`${join(this.#paths.instances, name)} is broken.`);
        if (file === 'broken' || faults.of('unknown', id) !== null) unknownIds.push(id);
        else found.push({ position: file.position, instance: await this.#observe(file) });
      }
      found.sort(inOrder);
      const tooMany = Math.max(0, files.length - simulatedLimits.instancesMax);
      return {
        instances: found.map(({ instance }) => instance),
        unknownIds,
        unknownCount: unknownIds.length + faults.unknownCount + tooMany,
        warnings,
      };
    });
  }

  async plug(order: PlugOrder, signal: AbortSignal): Promise<void> {
    checkDeviceName(order.deviceName);
    await this.#answering(signal, async (faults) => {
      const { instanceId, deviceName, plan, onHandover } = order;
      const instance = await this.#find(instanceId, faults);
      if (instance === null) throw gone(instanceId);
      const folder = join(this.#paths.devices, instanceId);
      await mkdir(folder, { recursive: true });
      const file = join(folder, deviceName);
      if (await exists(file)) return;
      this.#checkPluggable(instance, order, faults);
      await this.#pause(faults.of('slow-plug', instanceId), signal);
      onHandover?.();
      await createWhole(this.#paths, file, { name: deviceName, plan });
      await this.#pause(faults.of('late-plug-answer', instanceId), signal);
    });
  }

  async unplug(order: UnplugOrder, signal: AbortSignal): Promise<void> {
    checkDeviceName(order.deviceName);
    await this.#answering(signal, async (faults) => {
      const { instanceId, deviceName } = order;
      if ((await this.#find(instanceId, faults)) === null) return;
      const file = join(this.#paths.devices, instanceId, deviceName);
      if (!(await exists(file))) return;
      const refusal = faults.of('guest-refuses', instanceId);
      if (refusal !== null) {
        await this.#pause(refusal, signal);
        throw new HypervisorError(
          'guest-refuses',
          `Instance ${instanceId} did not let go of ${deviceName} (simulated).`,
        );
      }
      await this.#pause(faults.of('slow-unplug', instanceId), signal);
      await unlink(file).catch(ignoreMissing);
      await this.#pause(faults.of('late-unplug-answer', instanceId), signal);
    });
  }

  watch(onChange: () => void): Disposable {
    const watching = watchFolders(this.#paths, onChange);
    this.#watches.add(watching);
    return {
      [Symbol.dispose]: () => {
        this.#watches.delete(watching);
        watching[Symbol.dispose]();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watching of this.#watches) watching[Symbol.dispose]();
    this.#watches.clear();
  }

  /** Runs an act of a hypervisor that answers; what the file system says otherwise is `unavailable`. */
  async #answering<T>(signal: AbortSignal, act: (faults: Faults) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    try {
      // The folder of a hypervisor that is alive has its format file; an unmounted or emptied folder does not.
      await stat(this.#paths.format);
      const faults = await readFaults(this.#paths);
      if (faults.unavailable === null) return await act(faults);
      throw new HypervisorError('unavailable', faults.unavailable || 'Simulated as unavailable.');
    } catch (error) {
      if (error instanceof HypervisorError || signal.aborted) throw error;
      throw new HypervisorError(
        'unavailable',
        `The simulated hypervisor in ${this.#paths.root} cannot be used: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  async #pause(parameter: string | null, signal: AbortSignal): Promise<void> {
    const ms = toNumber(parameter);
    if (ms > 0) await this.#clock.sleep(ms, signal);
  }

  async #find(id: string, faults: Faults): Promise<InstanceFile | null> {
    if (!isInstanceId(id)) return null;
    const instance = await readInstance(this.#paths, id);
    if (instance === 'broken' || (instance !== null && faults.of('unknown', id) !== null)) {
      throw new HypervisorError('unavailable', `Instance ${id} does not answer.`);
    }
    return instance;
  }

  #checkPluggable(instance: InstanceFile, order: PlugOrder, faults: Faults): void {
    const { kind } = order.plan;
    if (!this.plugs.includes(kind)) {
      throw new HypervisorError('unsupported-plan', `This hypervisor cannot plug ${kind}.`);
    }
    const refusal = faults.of('refuse-plug', instance.id);
    if (refusal !== null) {
      throw new HypervisorError('refused', refusal || 'Refused (simulated).');
    }
    if (pluggable.has(instance.state)) return;
    throw new HypervisorError(
      'refused',
      `Instance ${instance.name} is ${instance.state}: start it before attaching.`,
    );
  }

  async #observe(file: InstanceFile): Promise<ObservedInstance> {
    return {
      id: file.id,
      name: file.name,
      projectId: file.project_id,
      state: file.state,
      plugs: this.plugs,
      devices: await this.#devices.of(file.id),
    };
  }
}

/** ACTIVE ones first, then as they were described. */
function inOrder(
  a: { readonly position: number; readonly instance: ObservedInstance },
  b: { readonly position: number; readonly instance: ObservedInstance },
): number {
  const rank = (state: InstanceState): number => (state === 'ACTIVE' ? 0 : 1);
  return (
    rank(a.instance.state) - rank(b.instance.state) ||
    a.position - b.position ||
    a.instance.id.localeCompare(b.instance.id)
  );
}

function gone(id: string): HypervisorError {
  return new HypervisorError('instance-gone', `There is no instance ${id} on this host.`);
}

async function exists(file: string): Promise<boolean> {
  return (await modifiedNsOf(file)) !== null;
}

function ignoreMissing(error: unknown): void {
  if (!hasCode(error, 'ENOENT')) throw error;
}

/** Instances that are QEMU processes, managed through their QMP sockets in one folder. */
import type { PlanKind } from '@cyborg/driver-sdk/protocol';
import type { Clock } from '@cyborg/service/clock';
import { checkDeviceName } from '../device-name.ts';
import {
  HypervisorError,
  type Hypervisor,
  type InstanceListing,
  type PlugOrder,
  type UnplugOrder,
} from '../hypervisor.ts';
import { doorLimits, QmpDoor } from './door.ts';
import { GuestFacts } from './facts.ts';
import { uuidOf, virtualPlugs } from './machine.ts';
import { InstanceMemory } from './memory.ts';
import { plugDevice, toQemu, tryUnplug } from './plug.ts';
import { HostNuma } from '../numa.ts';
import { checkVfio, isVfioPlan, vfioFileDefault, vfioKindsOf } from '../vfio.ts';
import { processLooker, type QemuProcesses } from '../processes.ts';
import { QmpError, qmpLimits, type QmpConnection } from './qmp.ts';
import { survey, type SurveyContext } from './survey.ts';
import { watchQemu } from './watch.ts';

export const qemuLimits = {
  /** How long a guest may take to let go of a device. */
  unplugMsMax: 30_000,
  /** One try of unplugging: then the socket is left for `unplugPauseMs`, so that others can use it, and asked again. */
  unplugTryMs: 1_000,
  unplugPauseMs: 200,
} as const;

export interface QemuHypervisorOptions {
  /** The folder with the QMP sockets (`*.sock`, `*.qmp`) and `<socket>.json` beside them. Not made by us. */
  readonly directory: string;
  readonly clock: Clock;
  /** A file of the agent's state folder in which sockets seen are remembered; only in memory unless told. */
  readonly memoryFile?: string;
  /** Other than /proc and /sys in tests. */
  readonly procRoot?: string;
  readonly sysfsRoot?: string;
  /** Other than /dev/vfio/vfio in tests; null where the hardware is a recorded tree. */
  readonly vfioFile?: string | null;
  readonly answerMsMax?: number;
  readonly unplugMsMax?: number;
}

export async function openQemuHypervisor(options: QemuHypervisorOptions): Promise<Hypervisor> {
  const procRoot = options.procRoot ?? '/proc';
  const { directory, memoryFile, clock, sysfsRoot = '/sys' } = options;
  const memory = await InstanceMemory.open({ directory, procRoot, file: memoryFile ?? null });
  const numa = new HostNuma({ sysfsRoot, procRoot, clock });
  const lookAtProcesses = processLooker({ procRoot, clock });
  const hypervisor = new QemuHypervisor(options, { memory, numa, lookAtProcesses });
  await hypervisor.lookAtHost();
  return hypervisor;
}

/** Events after which a listing may say something else. */
const tellingEvents: ReadonlySet<string> = new Set([
  'RESET',
  'SHUTDOWN',
  'STOP',
  'RESUME',
  'SUSPEND',
  'WAKEUP',
  'GUEST_PANICKED',
  'DEVICE_DELETED',
]);

class QemuHypervisor implements Hypervisor, SurveyContext {
  readonly kind = 'qemu';
  plugs: readonly PlanKind[] = virtualPlugs;
  readonly directory: string;
  readonly memory: InstanceMemory;
  readonly facts: GuestFacts;
  readonly lookAtProcesses: () => Promise<QemuProcesses | null>;
  readonly #options: QemuHypervisorOptions;
  readonly #clock: Clock;
  readonly #doors = new Map<string, QmpDoor>();
  readonly #watchers = new Map<Disposable, () => void>();

  constructor(
    options: QemuHypervisorOptions,
    {
      memory,
      numa,
      lookAtProcesses,
    }: {
      memory: InstanceMemory;
      numa: HostNuma;
      lookAtProcesses: () => Promise<QemuProcesses | null>;
    },
  ) {
    this.#options = options;
    this.#clock = options.clock;
    this.directory = options.directory;
    this.memory = memory;
    this.lookAtProcesses = lookAtProcesses;
    this.facts = new GuestFacts({ clock: options.clock, numa, lookAtProcesses });
  }

  /** The module vfio may be loaded, or taken away, while the agent runs. */
  async lookAtHost(): Promise<void> {
    this.plugs = [...virtualPlugs, ...(await vfioKindsOf(this.#vfioFile))];
  }

  get #vfioFile(): string | null {
    const { vfioFile = vfioFileDefault } = this.#options;
    return vfioFile;
  }

  get isWatching(): boolean {
    return this.#watchers.size > 0;
  }

  async list(signal: AbortSignal): Promise<InstanceListing> {
    await this.lookAtHost();
    const { instances, unknownIds, unknownCount, warnings } = await survey(this, signal);
    return { instances, unknownIds, unknownCount, warnings };
  }

  async plug(
    { instanceId, deviceName, plan, onHandover }: PlugOrder,
    signal: AbortSignal,
  ): Promise<void> {
    checkDeviceName(deviceName);
    toQemu(plan, deviceName); // refuse what we cannot do before looking for the instance
    if (isVfioPlan(plan)) await checkVfio(this.#vfioFile);
    const act = (qmp: QmpConnection): Promise<void> =>
      plugDevice(qmp, {
        plan,
        deviceName,
        onHandover,
        guestNodes: () => this.facts.guestNodesNear(qmp, { id: instanceId, plan }),
      });
    if ((await this.#inInstance(instanceId, signal, act)) !== 'gone') return;
    throw new HypervisorError('instance-gone', `There is no instance ${instanceId} on this host.`);
  }

  async unplug({ instanceId, deviceName }: UnplugOrder, signal: AbortSignal): Promise<void> {
    checkDeviceName(deviceName);
    const ms = this.#options.unplugMsMax ?? qemuLimits.unplugMsMax;
    const endMs = this.#clock.monotonicMs() + ms;
    for (;;) {
      const leftMs = endMs - this.#clock.monotonicMs();
      const done = await this.#inInstance(instanceId, signal, (qmp) =>
        this.#tryUnplug(qmp, deviceName, Math.max(0, Math.min(leftMs, qemuLimits.unplugTryMs))),
      );
      if (done !== false) return;
      if (this.#clock.monotonicMs() >= endMs) break;
      await this.#clock.sleep(qemuLimits.unplugPauseMs, signal);
    }
    throw new HypervisorError(
      'guest-refuses',
      `The guest of instance ${instanceId} did not let go of ${deviceName} within ${ms} ms ` +
        '(paused, still booting, or without PCI hot-plug?); it is asked again.',
    );
  }

  watch(onChange: () => void): Disposable {
    const watching = watchQemu({
      directory: this.directory,
      clock: this.#clock,
      sockets: () => [...this.memory.known.values()].map(({ socket }) => socket),
      doorOf: (socket) => this.doorOf(socket),
      onChange,
    });
    const handle = {
      [Symbol.dispose]: () => {
        this.#watchers.delete(handle);
        watching[Symbol.dispose]();
      },
    };
    this.#watchers.set(handle, onChange);
    return handle;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watching of this.#watchers.keys()) watching[Symbol.dispose]();
    for (const door of this.#doors.values()) door[Symbol.dispose]();
    this.#doors.clear();
  }

  doorOf(socket: string): QmpDoor {
    const found = this.#doors.get(socket);
    if (found !== undefined) return found;
    const door = new QmpDoor({
      path: socket,
      clock: this.#clock,
      answerMsMax: this.#options.answerMsMax ?? qmpLimits.answerMsMax,
      listenMs: () => doorLimits.listenMs + doorLimits.listenMsPerGuest * this.memory.known.size,
      onEvent: (event) => {
        if (event === 'lost' || tellingEvents.has(event.name)) this.#changed();
      },
    });
    this.#doors.set(socket, door);
    return door;
  }

  keepDoors(sockets: ReadonlySet<string>): void {
    for (const [socket, door] of this.#doors) {
      if (sockets.has(socket)) continue;
      door[Symbol.dispose]();
      this.#doors.delete(socket);
    }
  }

  #changed(): void {
    for (const onChange of this.#watchers.values()) onChange();
  }

  async #tryUnplug(qmp: QmpConnection, deviceName: string, ms: number): Promise<boolean> {
    const enough = Promise.withResolvers<void>();
    using _timer = this.#clock.setTimer(ms, enough.resolve);
    qmp.onLost(enough.resolve);
    return await tryUnplug(qmp, { deviceName, enough: enough.promise });
  }

  /**
   * Acts on the instance where it answered last, else wherever it is found.
   * @returns `'gone'` when the hypervisor, healthy, has no such instance.
   */
  async #inInstance<T>(
    instanceId: string,
    signal: AbortSignal,
    act: (qmp: QmpConnection) => Promise<T>,
  ): Promise<T | 'gone'> {
    await this.memory.checkFolder(this.lookAtProcesses);
    const checked = async (qmp: QmpConnection): Promise<T | 'gone'> =>
      (await uuidOf(qmp)) === instanceId ? await act(qmp) : 'gone';
    const known = this.memory.known.get(instanceId);
    if (known !== undefined) {
      const done = await this.#through(known.socket, signal, checked);
      if (done !== 'gone') return done;
    }
    const found = await survey(this, signal);
    const socket = found.socketOf.get(instanceId);
    if (socket !== undefined) return await this.#through(socket, signal, checked);
    if (found.unknownIds.includes(instanceId) || found.unknownCount > found.unknownIds.length) {
      const why = found.warnings[0] ?? 'its QMP socket is gone while its process runs.';
      throw new HypervisorError('unavailable', `Instance ${instanceId} does not answer: ${why}`);
    }
    return 'gone';
  }

  /** @returns `'gone'` also when nobody is behind the socket any more. */
  async #through<T>(
    socket: string,
    signal: AbortSignal,
    act: (qmp: QmpConnection) => Promise<T>,
  ): Promise<T | 'gone'> {
    try {
      return await this.doorOf(socket).use(act, { signal, listen: this.isWatching });
    } catch (error) {
      if (!(error instanceof QmpError)) throw error;
      if (error.failure === 'dead') return 'gone';
      const code = error.failure === 'refused' ? 'refused' : 'unavailable';
      throw new HypervisorError(code, error.message, { cause: error });
    }
  }
}

/** Instances that are libvirt domains: Nova's servers, whose UUIDs the domains have. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { AttachPlan, PlanKind } from '@cyborg/driver-sdk/protocol';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';

import { checkDeviceName, isInstanceId } from '../device-name.ts';
import {
  HypervisorError,
  type Hypervisor,
  type InstanceListing,
  type PlugOrder,
  type UnplugOrder,
} from '../hypervisor.ts';
import { HostNuma } from '../numa.ts';
import {
  addressOf,
  checkVfio,
  isVfioPlan,
  vfioFailure,
  vfioFileDefault,
  vfioKindsOf,
  type VfioPlan,
} from '../vfio.ts';
import { processLooker, type QemuProcesses } from '../processes.ts';
import { Absences } from './absences.ts';
import { deviceXml, readDomain } from './domain-xml.ts';
import { choosePort, type FreePort } from './ports.ts';
import { lookAtDomains, virtualPlugs } from './look.ts';
import { Virsh } from './virsh.ts';
import { watchLibvirt } from './watch.ts';

export const libvirtLimits = {
  /** How long a guest may take to let go of a device. */
  unplugMsMax: 30_000,
  /** Between two looks whether the device is gone; the guest is asked again every `askAgainMs`. */
  lookMs: 250,
  askAgainMs: 5_000,
} as const;

export interface LibvirtHypervisorOptions {
  readonly uri: string;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Folder for the descriptions of devices while they are plugged; only this process reads it. */
  readonly directory: string;
  readonly procRoot?: string;
  readonly sysfsRoot?: string;
  /** Other than /dev/vfio/vfio in tests; null where the hardware is a recorded tree. */
  readonly vfioFile?: string | null;
  readonly unplugMsMax?: number;
  readonly answerMsMax?: number;
}

export async function openLibvirtHypervisor(
  options: LibvirtHypervisorOptions,
): Promise<Hypervisor> {
  await rm(options.directory, { recursive: true, force: true }); // of acts that were killed
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  const hypervisor = new LibvirtHypervisor(options);
  await hypervisor.lookAtHost();
  return hypervisor;
}

/** Where a device of ours is: in the running machine, and in what the next start makes of it. */
interface Places {
  readonly isRunning: boolean;
  /** Whether it has a configuration at all: a transient domain, or one that was undefined while it runs, has none. */
  readonly isPersistent: boolean;
  readonly live: boolean;
  readonly config: boolean;
  readonly freePorts: { readonly live: readonly FreePort[]; readonly config: readonly FreePort[] };
}

class LibvirtHypervisor implements Hypervisor {
  readonly kind = 'libvirt';
  plugs: readonly PlanKind[] = virtualPlugs;
  readonly #options: LibvirtHypervisorOptions;
  readonly #clock: Clock;
  readonly #virsh: Virsh;
  readonly #lookAtProcesses: () => Promise<QemuProcesses | null>;
  readonly #numa: HostNuma;
  readonly #absences: Absences;
  readonly #vfioFile: string | null;

  constructor(options: LibvirtHypervisorOptions) {
    const { uri, clock, procRoot = '/proc', sysfsRoot = '/sys', answerMsMax } = options;
    const { vfioFile = vfioFileDefault } = options;
    this.#vfioFile = vfioFile;
    this.#numa = new HostNuma({ sysfsRoot, procRoot, clock });
    this.#options = options;
    this.#clock = clock;
    this.#absences = new Absences(clock);
    this.#virsh = new Virsh({ uri, ...(answerMsMax === undefined ? {} : { answerMsMax }) });
    this.#lookAtProcesses = processLooker({ procRoot, clock });
  }

  /** The module vfio may be loaded, or taken away, while the agent runs. */
  async lookAtHost(): Promise<void> {
    this.plugs = [...virtualPlugs, ...(await vfioKindsOf(this.#vfioFile))];
  }

  async list(signal: AbortSignal): Promise<InstanceListing> {
    await this.lookAtHost();
    const options = {
      virsh: this.#virsh,
      rng: this.#options.rng,
      lookAtProcesses: this.#lookAtProcesses,
      numa: this.#numa,
      plugs: this.plugs,
    };
    try {
      const listing = await lookAtDomains(options, signal);
      const { instances, unknownIds } = listing;
      this.#absences.listed([...instances.map(({ id }) => id), ...unknownIds]);
      return listing;
    } catch (error) {
      this.#absences.forget();
      throw error;
    }
  }

  async plug(
    { instanceId, deviceName, plan, onHandover }: PlugOrder,
    signal: AbortSignal,
  ): Promise<void> {
    checkNames(instanceId, deviceName);
    deviceXml(plan, deviceName, null); // refuse what we cannot do before looking for the instance
    if (isVfioPlan(plan)) await checkVfio(this.#vfioFile);
    const places = await this.#placesIfThere(instanceId, deviceName, signal);
    if (places === 'gone') {
      const message = `There is no instance ${instanceId} on this host.`;
      throw new HypervisorError('instance-gone', message);
    }
    const flags = placesToFill(places);
    const xml = deviceXml(plan, deviceName, await this.#choosePort(plan, places));
    let refusal: HypervisorError | undefined;
    onHandover?.();
    try {
      if (flags.length > 0) await this.#attach(instanceId, { xml, flags }, signal);
    } catch (error) {
      refusal = toRefusal(error);
    }
    const after = await this.#placesOf(instanceId, deviceName, signal);
    if (refusal !== undefined) {
      // libvirt goes on with what virsh was ended for, and refuses the next try because it is done.
      if (placesToFill(after).length === 0) return;
      throw isVfioPlan(plan) ? explained(plan, refusal) : refusal;
    }
    if (after.isRunning ? after.live : after.config) return;
    throw new HypervisorError('refused', `libvirt took ${deviceName}, but ${instanceId} lacks it.`);
  }

  async unplug({ instanceId, deviceName }: UnplugOrder, signal: AbortSignal): Promise<void> {
    checkNames(instanceId, deviceName);
    const ms = this.#options.unplugMsMax ?? libvirtLimits.unplugMsMax;
    const endMs = this.#clock.monotonicMs() + ms;
    let askMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      const places = await this.#placesIfThere(instanceId, deviceName, signal);
      if (places === 'gone' || (!places.live && !places.config)) return;
      const nowMs = this.#clock.monotonicMs();
      if (nowMs >= endMs) break;
      if (nowMs >= askMs || places.config) {
        askMs = nowMs + libvirtLimits.askAgainMs;
        await this.#detach(instanceId, { deviceName, places }, signal);
      }
      await this.#clock.sleep(libvirtLimits.lookMs, signal);
    }
    throw new HypervisorError(
      'guest-refuses',
      `The guest of instance ${instanceId} did not let go of ${deviceName} within ${ms} ms ` +
        '(paused, still booting, or without PCI hot-plug?); it is asked again.',
    );
  }

  watch(onChange: () => void): Disposable {
    return watchLibvirt({ virsh: this.#virsh, clock: this.#clock, onChange });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Each child ends by itself; nothing is kept open.
  }

  async #choosePort(plan: AttachPlan, { freePorts }: Places): Promise<number | null> {
    const address = addressOf(plan);
    const near = address === undefined ? undefined : await this.#numa.nodeOfFunction(address);
    return choosePort(freePorts.live, freePorts.config, near);
  }

  async #attach(
    id: string,
    { xml, flags }: { xml: string; flags: readonly string[] },
    signal: AbortSignal,
  ): Promise<void> {
    const folder = await mkdtemp(join(this.#options.directory, 'plug-'));
    try {
      const file = join(folder, 'device.xml');
      await writeFile(file, xml, { mode: 0o600 });
      await this.#virsh.run(['attach-device', id, file, ...flags], signal, { isAct: true });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** The guest decides on a running machine's device: that it was asked is all this says. */
  async #detach(
    id: string,
    { deviceName, places }: { deviceName: string; places: Places },
    signal: AbortSignal,
  ): Promise<void> {
    const flags = [...(places.live ? ['--live'] : []), ...(places.config ? ['--config'] : [])];
    try {
      await this.#virsh.run(['detach-device-alias', id, deviceName, ...flags], signal);
    } catch (error) {
      const isUnderWay = error instanceof HypervisorError && underWayPattern.test(error.message);
      if (!isUnderWay) throw error;
    }
  }

  /** @throws HypervisorError `instance-gone` */
  async #placesOf(id: string, deviceName: string, signal: AbortSignal): Promise<Places> {
    const info = await this.#virsh.run(['--quiet', 'dominfo', id], signal);
    const isRunning = !/^State:\s+(?:shut off|crashed)$/m.test(info);
    const isPersistent = /^Persistent:\s+yes$/m.test(info);
    const live = readDomain(await this.#virsh.run(['dumpxml', id], signal));
    // Without a configuration of its own libvirt shows the running machine here as well.
    const next = readDomain(await this.#virsh.run(['dumpxml', id, '--inactive'], signal));
    const config = isPersistent ? next : undefined;
    return {
      isRunning,
      isPersistent,
      live: isRunning && (live?.deviceNames.includes(deviceName) ?? false),
      config: config?.deviceNames.includes(deviceName) ?? false,
      freePorts: { live: live?.freePorts ?? [], config: next?.freePorts ?? [] },
    };
  }

  /** @throws HypervisorError `unavailable` for a domain that libvirt may only not know yet. */
  async #placesIfThere(
    id: string,
    deviceName: string,
    signal: AbortSignal,
  ): Promise<Places | 'gone'> {
    try {
      const places = await this.#placesOf(id, deviceName, signal);
      this.#absences.found(id);
      return places;
    } catch (error) {
      if (!(error instanceof HypervisorError) || error.code !== 'instance-gone') {
        this.#absences.forget();
        throw error;
      }
    }
    const wasLacking = this.#absences.lacks(id);
    const processes = await this.#lookAtProcesses();
    const mayRun = processes === null || processes.uuids.includes(id);
    if (wasLacking && !mayRun) return 'gone';
    const message = mayRun
      ? `libvirt does not know instance ${id}, whose machine may run: is it starting?`
      : `libvirt does not know instance ${id}: it counts as gone when a look later lacks it as well.`;
    throw new HypervisorError('unavailable', message);
  }
}

function placesToFill({ isRunning, isPersistent, live, config }: Places): string[] {
  return [
    ...(isRunning && !live ? ['--live'] : []),
    ...(isPersistent && !config ? ['--config'] : []),
  ];
}

/** @throws what is no refusal of libvirt's. */
function toRefusal(error: unknown): HypervisorError {
  if (error instanceof HypervisorError && error.code === 'refused') return error;
  throw error;
}

function explained(plan: VfioPlan, refusal: HypervisorError): HypervisorError {
  return vfioFailure(plan, refusal.message, refusal);
}

/** The guest was asked before and has not decided (libvirt passes QEMU's sentence on), or the device just went. */
const underWayPattern =
  /already in the process of unplug|guest is busy|no device found with alias|device not found/i;

function checkNames(instanceId: string, deviceName: string): void {
  checkDeviceName(deviceName);
  if (isInstanceId(instanceId)) return;
  throw new HypervisorError('refused', `Instance ${JSON.stringify(instanceId)} is not a UUID.`);
}

/** Plugging and unplugging in one QEMU. Each step looks first, so it can be repeated after a death at any point. */
import type { AttachPlan } from '@cyborg/driver-sdk/protocol';
import { checkEntropySource } from '../entropy-sources.ts';
import { HypervisorError } from '../hypervisor.ts';
import { checkVfioPlan, isVfioPlan, nameOfPlan, vfioFailure, type VfioPlan } from '../vfio.ts';
import { hasDevice, hasObject, isBuiltFor, isPlugged } from './machine.ts';
import { QmpError, type QmpConnection } from './qmp.ts';
import { findSlot, type Slot } from './slots.ts';

export interface QemuPlug {
  readonly device: Readonly<Record<string, unknown>>;
  /** Null for hardware of the host, which needs none. */
  readonly backend: Readonly<Record<string, unknown>> | null;
}

/** The backend of a device of ours. */
export function backendIdOf(deviceName: string): string {
  return `be-${deviceName}`;
}

/** @throws HypervisorError `unsupported-plan` */
export function toQemu(plan: AttachPlan, deviceName: string): QemuPlug {
  const id = backendIdOf(deviceName);
  if (plan.kind === 'virtio-crypto') {
    return {
      backend: { 'qom-type': 'cryptodev-backend-builtin', id, queues: plan.queues },
      device: { driver: 'virtio-crypto-pci', id: deviceName, cryptodev: id },
    };
  }
  if (isVfioPlan(plan)) {
    checkVfioPlan(plan);
    return { backend: null, device: { driver: 'vfio-pci', id: deviceName, ...sourceOf(plan) } };
  }
  if (plan.kind !== 'virtio-rng') {
    throw new HypervisorError('unsupported-plan', `The QEMU adapter cannot plug ${plan.kind}.`);
  }
  checkEntropySource(plan.source);
  return {
    backend: { 'qom-type': 'rng-random', id, filename: plan.source },
    device: {
      driver: 'virtio-rng-pci',
      id: deviceName,
      rng: id,
      ...(plan.max_bytes === undefined ? {} : { 'max-bytes': plan.max_bytes }),
      ...(plan.period_ms === undefined ? {} : { period: plan.period_ms }),
    },
  };
}

function sourceOf(plan: VfioPlan): Readonly<Record<string, string>> {
  if (plan.kind === 'pci') return { host: plan.address };
  return { sysfsdev: `/sys/bus/mdev/devices/${plan.uuid}` };
}

export interface QemuPlugOrder {
  readonly plan: AttachPlan;
  readonly deviceName: string;
  /** NUMA nodes of the guest that the device should be near, by what is known. */
  readonly guestNodes: () => Promise<ReadonlySet<number>>;
  readonly onHandover?: (() => void) | undefined;
}

/** @throws HypervisorError, QmpError */
export async function plugDevice(qmp: QmpConnection, order: QemuPlugOrder): Promise<void> {
  const { plan, deviceName, guestNodes } = order;
  if (!(await hasDevice(qmp, deviceName))) {
    await checkBuilt(qmp, plan);
    const slot = await findSlot(qmp, await guestNodes());
    await removeBackend(qmp, deviceName); // of an earlier try that ended half-way
    await addDevice(qmp, order, slot);
  }
  if (await isPlugged(qmp, deviceName)) return;
  throw new HypervisorError('refused', `QEMU has ${deviceName}, but on no bus.`);
}

async function addDevice(
  qmp: QmpConnection,
  { plan, deviceName, onHandover }: QemuPlugOrder,
  slot: Slot,
): Promise<void> {
  const { device, backend } = toQemu(plan, deviceName);
  if (backend !== null) await qmp.execute('object-add', backend);
  try {
    onHandover?.();
    await qmp.execute('device_add', { ...device, ...slot });
  } catch (error) {
    if (qmp.isOpen && backend !== null) {
      await removeBackend(qmp, deviceName).catch(() => {}); // the first error counts
    }
    throw isVfioPlan(plan) && error instanceof QmpError ? refusalOf(plan, error) : error;
  }
}

/** (All of the guest's memory is locked for the device: with much of it QEMU says nothing for a while.) */
function refusalOf(plan: VfioPlan, error: QmpError): Error {
  if (error.failure === 'refused') return vfioFailure(plan, error.message, error);
  if (error.failure !== 'silent') return error;
  const message = `QEMU is still taking ${nameOfPlan(plan)} in: it is looked at again (${error.message})`;
  return new HypervisorError('unavailable', message, { cause: error });
}

async function checkBuilt(qmp: QmpConnection, { kind }: AttachPlan): Promise<void> {
  if (await isBuiltFor(qmp, kind)) return;
  const message = `This QEMU was built without ${kind}: install a QEMU that has it.`;
  throw new HypervisorError('unsupported-plan', message);
}

/** Removes the backend when there is one. Only for a device that is not there: QEMU does not always check. */
export async function removeBackend(qmp: QmpConnection, deviceName: string): Promise<void> {
  const id = backendIdOf(deviceName);
  if (await hasObject(qmp, id)) await qmp.execute('object-del', { id });
}

export interface UnplugTry {
  readonly deviceName: string;
  /** Resolves when this try has waited long enough for the guest. */
  readonly enough: Promise<void>;
}

/**
 * Asks the guest to let go and waits a little. The request is repeated at every try: a guest that is still booting
 * ignores it. @returns whether the device is gone.
 * @throws HypervisorError `guest-refuses` as soon as the guest says no.
 */
export async function tryUnplug(
  qmp: QmpConnection,
  { deviceName, enough }: UnplugTry,
): Promise<boolean> {
  const answered = Promise.withResolvers<'deleted' | 'refused'>();
  using _listening = qmp.onEvent(({ name, device }) => {
    if (device !== deviceName) return;
    if (name === 'DEVICE_DELETED') answered.resolve('deleted');
    if (name === 'DEVICE_UNPLUG_GUEST_ERROR') answered.resolve('refused');
  });
  if (await hasDevice(qmp, deviceName)) {
    await askToUnplug(qmp, deviceName);
    const answer = await Promise.race([answered.promise, enough]);
    if (await hasDevice(qmp, deviceName)) {
      if (answer === 'refused') throw refusalOfGuest(deviceName);
      return false;
    }
  }
  await removeBackend(qmp, deviceName);
  return true;
}

function refusalOfGuest(deviceName: string): HypervisorError {
  const message = `The guest refused, and did not let go of ${deviceName} (QEMU says DEVICE_UNPLUG_GUEST_ERROR): something in it uses the device; it is asked again. End that use, or shut the guest down.`;
  return new HypervisorError('guest-refuses', message);
}

/** The guest was asked before and has not decided (hw/pci/pcie.c, softmmu/qdev-monitor.c). */
const underWayPattern = /already in the process of unplug|guest is busy/i;

async function askToUnplug(qmp: QmpConnection, id: string): Promise<void> {
  try {
    await qmp.execute('device_del', { id });
  } catch (error) {
    if (!(error instanceof QmpError) || error.failure !== 'refused') throw error;
    if (!underWayPattern.test(error.message) && error.errorClass !== 'DeviceNotFound') throw error;
  }
}

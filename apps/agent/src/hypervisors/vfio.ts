/** Handing the host's hardware to a guest by VFIO, whichever hypervisor does it: what may be handed over, and why it fails. */
import { stat } from 'node:fs/promises';
import type { AttachPlan, PlanKind } from '@cyborg/driver-sdk/protocol';
import { isInstanceId } from './device-name.ts';
import { HypervisorError } from './hypervisor.ts';

export type VfioPlan = Extract<AttachPlan, { kind: 'pci' | 'mdev' }>;

export const vfioKinds = ['pci', 'mdev'] as const satisfies readonly PlanKind[];

/** Made by the kernel's module `vfio`; without it no hypervisor can take hardware in. */
export const vfioFileDefault = '/dev/vfio/vfio';

const addressPattern = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-1][0-9a-f]\.[0-7]$/;

export function isVfioPlan(plan: AttachPlan): plan is VfioPlan {
  return plan.kind === 'pci' || plan.kind === 'mdev';
}

export function isFunctionAddress(text: string): boolean {
  return addressPattern.test(text);
}

/** @throws HypervisorError `unsupported-plan`: addresses and UUIDs become paths and XML, so nothing else may pass. */
export function checkVfioPlan(plan: VfioPlan): void {
  if (plan.kind === 'pci') {
    if (isFunctionAddress(plan.address)) return;
    const found = JSON.stringify(plan.address);
    throw new HypervisorError('unsupported-plan', `${found} is no PCI address (dddd:bb:dd.f).`);
  }
  if (isInstanceId(plan.uuid)) return;
  const message = `${JSON.stringify(plan.uuid)} is no UUID of a mediated device.`;
  throw new HypervisorError('unsupported-plan', message);
}

/** @returns the kinds of plan that VFIO makes possible on this host now; null: its hardware is not real. */
export async function vfioKindsOf(file: string | null): Promise<readonly PlanKind[]> {
  if (file === null) return [];
  const found = await stat(file).catch(() => null);
  return found === null ? [] : vfioKinds;
}

/** @throws HypervisorError `unsupported-plan` */
export async function checkVfio(file: string | null): Promise<void> {
  if ((await vfioKindsOf(file)).length > 0) return;
  throw new HypervisorError(
    'unsupported-plan',
    file === null
      ? 'The hardware of this host is a recorded tree: no hypervisor can plug it.'
      : `This host has no ${file}: load the kernel's module vfio-pci, with the IOMMU switched on ` +
          '(in the firmware, and on Intel by the kernel argument intel_iommu=on).',
  );
}

/** The function of the host that the hardware is or is on; undefined for what is not the host's hardware. */
export function addressOf(plan: AttachPlan): string | undefined {
  if (plan.kind === 'pci') return plan.address;
  return plan.kind === 'mdev' ? plan.parent : undefined;
}

/** What the plan hands over, for sentences. */
export function nameOfPlan(plan: VfioPlan): string {
  return plan.kind === 'pci' ? plan.address : `mediated device ${plan.uuid}`;
}

interface Cause {
  readonly pattern: RegExp;
  /** Whether waiting may help. */
  readonly passes: boolean;
  /** Said before the device is opened. */
  readonly isUntouched?: boolean;
  readonly say: (name: string, match: RegExpExecArray) => string;
}

/** QEMU's sentences (hw/vfio/*.c), which libvirt passes on, and libvirt's own (src/util/virhostdev.c). */
const causes: readonly Cause[] = [
  {
    pattern: /(\/dev\/vfio\/\S+): Device or resource busy/,
    passes: true,
    say: (name, [, file]) => `${name} is held by another process, which has ${file} open`,
  },
  {
    pattern: /(\/dev\/vfio\/\S+): No such file or directory/,
    passes: false,
    say: (name) => `${name} is not bound to vfio-pci: its driver must prepare it first`,
  },
  {
    // The node is as old as the binding: udev gives it to QEMU's user a moment after the kernel has made it.
    pattern: /(\/dev\/vfio\/\S+): Permission denied/,
    passes: true,
    say: (name, [, file]) =>
      `QEMU may not open ${file} for ${name} yet: let QEMU's user open it by a udev rule for SUBSYSTEM=="vfio"`,
  },
  {
    pattern: /(\/dev\/vfio\/\S+): Operation not permitted/,
    passes: false,
    say: (name, [, file]) =>
      `QEMU may not open ${file} for ${name}: let its cgroup open it (DeviceAllow= of its unit)`,
  },
  {
    pattern: /group (\d+) is not viable/,
    passes: false,
    say: (name, [, group]) =>
      `IOMMU group ${group} of ${name} is not viable: another function in it is bound to a driver of the host; ` +
      'unbind that driver, or attach all of the group together',
  },
  {
    pattern: /no iommu_group found|host doesn't support passthrough/,
    passes: false,
    say: (name) =>
      `${name} has no IOMMU group: switch the IOMMU on in the firmware, and on Intel by the kernel argument ` +
      'intel_iommu=on',
  },
  {
    pattern: /failed to set iommu for container: Operation not permitted/i,
    passes: false,
    say: (name) =>
      `The kernel lets no guest have ${name}, and dmesg says why: no interrupt remapping, or memory that the firmware ` +
      'keeps for the device (RMRR); both are settings of the firmware',
  },
  {
    pattern: /no such host device|mediated device '[^']*' not found/,
    passes: false,
    say: (name) => `${name} is not on this host any more`,
  },
  {
    pattern: /Cannot allocate memory|cannot limit locked memory/,
    passes: false,
    say: (name) =>
      `All memory of a guest that has ${name} must be locked, and QEMU may not lock so much: raise its limit ` +
      '(prlimit --memlock=unlimited, LimitMEMLOCK=infinity in its unit)',
  },
  {
    pattern: /device is already (?:attached|in the domain configuration)/,
    passes: false,
    say: (name) => `The machine has ${name} already, by another device: detach that one`,
  },
  {
    pattern: /is in use by driver \S+, domain (\S+)/,
    passes: false,
    say: (name, [, domain]) => `${name} is held by libvirt's domain ${domain}: detach it there`,
  },
  {
    pattern: /must be manually detached from the host/,
    passes: false,
    say: (name) => `${name} is not bound to vfio-pci: its driver must prepare it first`,
  },
  {
    pattern: /double use of PCI Address/i,
    passes: true,
    say: (name) => `Something else took the port that was chosen for ${name}`,
  },
  {
    pattern: /No more available PCI slots|no slot\/function available/i,
    passes: false,
    isUntouched: true,
    say: (name) =>
      `No hot-plug port of the machine is free for ${name}: detach something, or give the machine more ` +
      "(<controller type='pci' model='pcie-root-port'/>, then stop and start it)",
  },
  {
    pattern: /does not support hotplug|hotplug is not supported|Hot-plug failed/i,
    passes: false,
    say: (name) =>
      `The machine takes no device while it runs, so not ${name}: give it a pcie-root-port`,
  },
];

/**
 * QEMU takes the IOMMU group and maps the guest's memory first, and opens the device last (vfio_get_group). A group that is
 * busy is another process's, which may have the device.
 */
const beforeDevice =
  /failed to open \/dev\/vfio\/\d+: (?!Device or resource busy)|group \d+ is not viable|failed to setup container for group/;

/** The hypervisor's own sentence with a way out where one is known. It always stays part of the message. */
export function vfioFailure(plan: VfioPlan, said: string, cause: unknown): HypervisorError {
  const name = nameOfPlan(plan);
  const isEarly = beforeDevice.test(said);
  for (const { pattern, passes, isUntouched = isEarly, say } of causes) {
    const match = pattern.exec(said);
    if (match === null) continue;
    const message = `${say(name, match)} (${said}).`;
    return new HypervisorError(passes ? 'unavailable' : 'refused', message, { cause, isUntouched });
  }
  const message = `${name} was refused: ${said}`;
  return new HypervisorError('refused', message, { cause, isUntouched: isEarly });
}

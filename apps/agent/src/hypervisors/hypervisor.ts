/**
 * What the agent needs of a hypervisor. Each adapter (qemu, libvirt, simulated) is one file family beside this one.
 *
 * Adapters hold no truth: every answer is read from the hypervisor at the time of the call. All acts are idempotent.
 */
import type { AttachPlan, PlanKind } from '@cyborg/driver-sdk/protocol';

export type HypervisorKind = 'qemu' | 'libvirt' | 'simulated';

/** Nova's words for what a guest is doing. */
export type InstanceState = 'ACTIVE' | 'PAUSED' | 'SHUTOFF' | 'SUSPENDED' | 'ERROR' | 'UNKNOWN';

/** A device of ours that a guest has: its name is `ua-cyborg-<attachment>-<epoch>`. */
export interface PluggedDevice {
  readonly name: string;
  /** The PCI function of the host that it is: `dddd:bb:dd.f`; absent: none, or not known. */
  readonly address?: string;
}

export interface ObservedInstance {
  /** UUID of the virtual machine. */
  readonly id: string;
  readonly name: string;
  /** From `<socket>.json` beside the QMP socket, or null. */
  readonly projectId: string | null;
  readonly state: InstanceState;
  /** What this instance's hypervisor can plug into it now. */
  readonly plugs: readonly PlanKind[];
  readonly devices: readonly PluggedDevice[];
  /** PCI functions of the host that it has, whoever plugged them (Nova, at boot): `dddd:bb:dd.f`. */
  readonly functions?: readonly string[];
  /** NUMA nodes of the host that its memory and CPUs are on; absent: not known, or all. */
  readonly numaNodes?: readonly number[];
}

/** A trustworthy look at the hypervisor: what is not in `instances` was not there. */
export interface InstanceListing {
  readonly instances: readonly ObservedInstance[];
  /**
   * Instances that may exist but did not answer in time (a blocked QMP socket): neither there nor gone.
   * Their ids where known; an entry forbids concluding anything about an instance that is missing from `instances`
   * when `unknownCount` is larger than `unknownIds.length`.
   */
  readonly unknownIds: readonly string[];
  readonly unknownCount: number;
  /** Sentences for the operator: what was left out or read as less than it could be, and the way out. */
  readonly warnings?: readonly string[];
}

export interface PlugOrder {
  readonly instanceId: string;
  /** `ua-cyborg-<attachment>-<epoch>`, the device's id in the hypervisor. */
  readonly deviceName: string;
  readonly plan: AttachPlan;
  /** Called just before the machine is told: from then on its guest may have the device. */
  readonly onHandover?: (() => void) | undefined;
}

export interface UnplugOrder {
  readonly instanceId: string;
  readonly deviceName: string;
}

export interface Hypervisor extends AsyncDisposable {
  readonly kind: HypervisorKind;
  /** Kinds of plan that this adapter can plug on this host at all, by the last look. */
  readonly plugs: readonly PlanKind[];
  /**
   * Lists instances and our devices in them.
   * @throws HypervisorUnavailable when nothing can be concluded (folder gone, daemon down or still starting).
   */
  list(signal: AbortSignal): Promise<InstanceListing>;
  /**
   * Plugs the device and verifies that the guest's machine has it. Plugging what is plugged is a success.
   * @throws HypervisorError with `code` saying whether a retry can help.
   */
  plug(order: PlugOrder, signal: AbortSignal): Promise<void>;
  /**
   * Unplugs and returns when the device is gone from the machine (DEVICE_DELETED or verified absence).
   * Unplugging what is not there, from an instance that is healthily known to be gone too, is a success.
   */
  unplug(order: UnplugOrder, signal: AbortSignal): Promise<void>;
  /** Calls back (debounced by the caller) when instances or their devices may have changed. */
  watch(onChange: () => void): Disposable;
}

export type HypervisorErrorCode =
  | 'instance-gone' // the hypervisor, healthy, has no such instance
  | 'guest-refuses' // the guest did not let go of the device within the deadline; a retry may help
  | 'unsupported-plan'
  | 'unavailable' // the hypervisor did not answer; a retry may help
  | 'refused'; // the hypervisor said no, with its reason

/** An expected failure of a hypervisor. */
export class HypervisorError extends Error {
  override readonly name = 'HypervisorError';
  readonly code: HypervisorErrorCode;
  /** Of a plug: the machine was told, and refused before it looked at the device. */
  readonly isUntouched: boolean;

  constructor(
    code: HypervisorErrorCode,
    message: string,
    { isUntouched = false, ...options }: { cause?: unknown; isUntouched?: boolean } = {},
  ) {
    super(message, options);
    this.code = code;
    this.isUntouched = isUntouched;
  }
}

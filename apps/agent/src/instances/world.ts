/**
 * What this host's hypervisors were last seen to have, corrected by what this agent has done since. Answers in constant
 * time, however much is held.
 */
import { parseDeviceName } from '@cyborg/model/epoch';
import type { InstanceListing, ObservedInstance } from '../hypervisors/hypervisor.ts';

export interface SeenDevice {
  readonly instanceId: string;
  readonly name: string;
  readonly attachmentId: string;
  readonly epoch: number;
  /** The PCI function of the host that it is, as far as a look has told. */
  readonly address?: string;
}

interface OwnAct {
  readonly device: SeenDevice;
  readonly isPlugged: boolean;
  readonly atMs: number;
}

export class World {
  #instances: ReadonlyMap<string, ObservedInstance> = new Map();
  #unknownIds: ReadonlySet<string> = new Set();
  #unknownCount = 0;
  readonly #byAttachment = new Map<string, Map<string, SeenDevice>>();
  #byFunction: ReadonlyMap<string, string> = new Map();
  #ownActs: OwnAct[] = [];
  #seenAtMs: number | undefined;

  /** Monotonic ms at which the last healthy look began; undefined before the first. */
  get seenAtMs(): number | undefined {
    return this.#seenAtMs;
  }

  /** Something may be there that did not answer: nothing can be concluded about what is missing. */
  get hasUnknown(): boolean {
    return this.#unknownCount > 0;
  }

  instance(id: string): ObservedInstance | undefined {
    return this.#instances.get(id);
  }

  /** Whether the instance did not answer, or may be one of those that did not. */
  isUnknown(id: string): boolean {
    return this.#unknownIds.has(id) || this.#unknownCount > this.#unknownIds.size;
  }

  /** The instance that has this PCI function of the host, whoever plugged it. */
  holderOfFunction(address: string): string | undefined {
    return this.#byFunction.get(address);
  }

  devicesOf(attachmentId: string): SeenDevice[] {
    return [...(this.#byAttachment.get(attachmentId)?.values() ?? [])];
  }

  *devices(): Generator<SeenDevice> {
    for (const devices of this.#byAttachment.values()) yield* devices.values();
  }

  /** Takes over a healthy look that began at `beganAtMs`. */
  see(listing: InstanceListing, beganAtMs: number): void {
    this.#instances = new Map(listing.instances.map((instance) => [instance.id, instance]));
    this.#byFunction = new Map(
      listing.instances.flatMap(({ id, functions = [] }) =>
        functions.map((address) => [address, id] as const),
      ),
    );
    this.#unknownIds = new Set(listing.unknownIds);
    this.#unknownCount = listing.unknownCount;
    this.#seenAtMs = beganAtMs;
    this.#byAttachment.clear();
    for (const instance of listing.instances) {
      for (const { name, address } of instance.devices) {
        const device = toDevice(instance.id, name);
        if (device !== undefined)
          this.#put(address === undefined ? device : { ...device, address });
      }
    }
    // An act that ended after the look began may be missing from it.
    this.#ownActs = this.#ownActs.filter(({ atMs }) => atMs >= beganAtMs);
    for (const act of this.#ownActs) this.#apply(act);
  }

  plugged(instanceId: string, name: string, atMs: number): void {
    this.#did(instanceId, name, { isPlugged: true, atMs });
  }

  unplugged(instanceId: string, name: string, atMs: number): void {
    this.#did(instanceId, name, { isPlugged: false, atMs });
  }

  #did(instanceId: string, name: string, act: { isPlugged: boolean; atMs: number }): void {
    const device = toDevice(instanceId, name);
    if (device === undefined) return;
    this.#ownActs.push({ device, ...act });
    this.#apply({ device, ...act });
  }

  #apply({ device, isPlugged }: OwnAct): void {
    if (isPlugged) this.#put(device);
    else {
      const devices = this.#byAttachment.get(device.attachmentId);
      devices?.delete(keyOf(device));
      if (devices?.size === 0) this.#byAttachment.delete(device.attachmentId);
    }
  }

  #put(device: SeenDevice): void {
    const devices = this.#byAttachment.get(device.attachmentId);
    if (devices === undefined) {
      this.#byAttachment.set(device.attachmentId, new Map([[keyOf(device), device]]));
    } else devices.set(keyOf(device), device);
  }
}

function keyOf({ instanceId, name }: SeenDevice): string {
  return `${instanceId}/${name}`;
}

function toDevice(instanceId: string, name: string): SeenDevice | undefined {
  const parsed = parseDeviceName(name);
  return parsed && { instanceId, name, ...parsed };
}

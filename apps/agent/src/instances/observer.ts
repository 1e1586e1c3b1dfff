/** Turns healthy looks at the hypervisor into reports: instances, what became of held attachments, unclaimed devices. */
import type {
  InstanceListing as ListingReport,
  UnclaimedReport,
} from '@cyborg/api-spec/agent/report';
import { deviceName } from '@cyborg/model/epoch';
import type { Clock } from '@cyborg/service/clock';
import type { InstanceListing } from '../hypervisors/hypervisor.ts';
import { agentDefaults } from '../limits.ts';
import type { HeldList } from '../server-link/held-list.ts';
import type { Reporter } from '../server-link/reporter.ts';
import type { SeenDevice, World } from './world.ts';

export interface ObserverDeps {
  readonly clock: Clock;
  readonly reporter: Pick<Reporter, 'listing' | 'observation' | 'unclaimed'>;
  readonly held: Pick<HeldList, 'isLoaded' | 'loads' | 'find' | 'values' | 'changedAtMs'>;
  readonly world: World;
  /** Whether an order that is known and not settled is about this attachment. */
  readonly isOrdered: (attachmentId: string) => boolean;
  /** Which accelerator the attachment is about, as far as this host knows. */
  readonly acceleratorOf: (attachmentId: string) => string | undefined;
  /** What keeps an ordered release of an unclaimed device from being done. */
  readonly whyNotReleased: (device: Pick<SeenDevice, 'instanceId' | 'name'>) => string | undefined;
  /** The host was started anew since it was prepared. */
  readonly isUnprepared: (attachmentId: string) => boolean;
  /** The held list must be read again before a device is called unclaimed. */
  readonly refreshHeld: () => void;
}

export class Observer {
  readonly #deps: ObserverDeps;
  #lastListing = '';
  #lastListingAtMs = Number.NEGATIVE_INFINITY;
  #listingChangedAtMs = Number.NEGATIVE_INFINITY;
  #observed = new Map<string, string>();
  /** Unexplained devices, with the number of readings of the held list when they were first seen. */
  #unexplained = new Map<string, number>();
  #lastUnclaimed: string | undefined;
  #untraceable: string | undefined;

  constructor(deps: ObserverDeps) {
    this.#deps = deps;
  }

  /** The name of an unexplained device that may be any accelerator. */
  get untraceable(): string | undefined {
    return this.#untraceable;
  }

  /** Everything is said again. */
  reset(): void {
    this.#lastListing = '';
    this.#observed.clear();
    this.#unexplained.clear();
    this.#lastUnclaimed = undefined;
  }

  /** What was unexplained may be explained by now, or known to be nobody's: no need to wait for the next look. */
  heldLoaded(): void {
    if (this.#deps.world.seenAtMs !== undefined) this.#findUnclaimed();
  }

  listed(hypervisor: string, listing: InstanceListing, beganAtMs: number): void {
    this.#reportListing(hypervisor, listing);
    this.#observeHeld(beganAtMs);
    this.#findUnclaimed();
  }

  #reportListing(hypervisor: string, listing: InstanceListing): void {
    const { clock, reporter } = this.#deps;
    const report: ListingReport = {
      hypervisor,
      instances: listing.instances.map(({ id, name, projectId, state, plugs, numaNodes }) => ({
        id,
        name: name.slice(0, 255),
        project_id: projectId,
        state,
        plugs: [...plugs],
        ...(numaNodes === undefined ? {} : { numa_nodes: [...numaNodes] }),
      })),
      unknown_ids: [...listing.unknownIds],
      unknown_count: listing.unknownCount,
    };
    const text = JSON.stringify(report);
    const nowMs = clock.monotonicMs();
    if (text !== this.#lastListing) this.#listingChangedAtMs = nowMs;
    else if (!this.#isListingDue(nowMs)) return;
    this.#lastListing = text;
    this.#lastListingAtMs = nowMs;
    reporter.listing(report);
  }

  /** The server counts a missing instance's second look only when it is late enough: it gets one as soon as it is. */
  #isListingDue(nowMs: number): boolean {
    const { first, last } = agentDefaults.vanishedReportsMs;
    const unchangedMs = nowMs - this.#listingChangedAtMs;
    if (unchangedMs >= first && unchangedMs <= last) return true;
    return nowMs - this.#lastListingAtMs >= agentDefaults.listingReportMs;
  }

  #observeHeld(beganAtMs: number): void {
    const { held, world, reporter, isOrdered, isUnprepared } = this.#deps;
    if (!held.isLoaded) return;
    const observed = new Map<string, string>();
    for (const {
      attachment_id: id,
      instance_id,
      epoch,
      device_epoch,
      plugged_by,
    } of held.values()) {
      if (plugged_by !== 'agent') continue;
      const before = this.#observed.get(id);
      if (isOrdered(id) || held.changedAtMs(id) > beganAtMs) {
        if (before !== undefined) observed.set(id, before);
        continue;
      }
      const name = deviceName(id, device_epoch);
      const seen = observe(world, { attachmentId: id, instanceId: instance_id, name });
      // Its configuration has the device, which the machine cannot be started with as it is.
      const isOff = world.instance(instance_id)?.state === 'SHUTOFF';
      const what = isOff && seen === 'plugged' && isUnprepared(id) ? 'missing' : seen;
      const key = `${epoch}/${what}`;
      observed.set(id, key);
      if (key !== before) reporter.observation({ attachment_id: id, epoch, observed: what });
    }
    this.#observed = observed;
  }

  /** What keeps a release from being done is another thing now. */
  releaseWaits(): void {
    if (this.#deps.world.seenAtMs !== undefined) this.#findUnclaimed();
  }

  /** Only what stays unexplained after the held list was read again: everything else would be a false alarm. */
  #findUnclaimed(): void {
    const { held, world, reporter, refreshHeld } = this.#deps;
    if (!held.isLoaded) return;
    const unexplained = new Map<string, number>();
    this.#untraceable = undefined;
    const unclaimed: UnclaimedReport[] = [];
    for (const device of world.devices()) {
      if (this.isExplained(device)) continue;
      const item = this.#describe(device);
      if (item.accelerator_id === null) this.#untraceable ??= device.name;
      const key = `${device.instanceId}/${device.name}`;
      const since = this.#unexplained.get(key) ?? held.loads;
      unexplained.set(key, since);
      if (held.loads > since) unclaimed.push(item);
      else refreshHeld();
    }
    this.#unexplained = unexplained;
    if (unexplained.size > unclaimed.length) return; // the next look knows more
    const text = JSON.stringify(unclaimed);
    if (text === this.#lastUnclaimed) return;
    this.#lastUnclaimed = text;
    reporter.unclaimed(unclaimed.slice(0, 4096));
  }

  #describe(device: SeenDevice): UnclaimedReport & { accelerator_id: string | null } {
    const { acceleratorOf, whyNotReleased } = this.#deps;
    return {
      instance_id: device.instanceId,
      device_name: device.name,
      accelerator_id: acceleratorOf(device.attachmentId) ?? null,
      address: device.address ?? null,
      reason: whyNotReleased(device) ?? null,
    };
  }

  /** Whether an order or the ledger accounts for the device, as it is and where it is. */
  isExplained({
    attachmentId,
    instanceId,
    epoch,
  }: Pick<SeenDevice, 'attachmentId' | 'instanceId' | 'epoch'>): boolean {
    const { held, isOrdered } = this.#deps;
    if (isOrdered(attachmentId)) return true;
    const known = held.find(attachmentId);
    return known?.instance_id === instanceId && known.device_epoch === epoch;
  }
}

function observe(
  world: World,
  { attachmentId, instanceId, name }: Omit<SeenDevice, 'epoch'>,
): 'plugged' | 'missing' | 'unknown' {
  const isThere = world
    .devicesOf(attachmentId)
    .some((device) => device.instanceId === instanceId && device.name === name);
  if (isThere) return 'plugged';
  // An instance that is not there is the listing's to tell.
  return world.instance(instanceId) === undefined ? 'unknown' : 'missing';
}

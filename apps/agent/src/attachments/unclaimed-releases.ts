/** Unplugs unclaimed devices that an operator has ordered to be unplugged, and exactly those. */
import type { DesiredState } from '@cyborg/api-spec/agent';
import { parseDeviceName } from '@cyborg/model/epoch';
import type { Clock } from '@cyborg/service/clock';
import { messageOf } from '../hypervisors/node-error.ts';
import type { WatchedHypervisor } from '../instances/hypervisors.ts';
import type { Log } from '../log.ts';
import type { Lease } from '../server-link/lease.ts';

type ReleaseOrder = DesiredState['release_unclaimed'][number];

export interface UnclaimedReleasesDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly lease: Lease;
  readonly hypervisor: WatchedHypervisor;
  /** An attachment that the ledger knows is never unclaimed, whatever was ordered about it before. */
  readonly isExplained: (attachmentId: string) => boolean;
  readonly isHeldKnown: () => boolean;
}

const retryMs = 5_000;
const unplugTimeoutMs = 60_000;

export class UnclaimedReleases {
  readonly #deps: UnclaimedReleasesDeps;
  #orders: readonly ReleaseOrder[] = [];
  readonly #running = new Set<string>();
  #timer: Disposable | undefined;

  constructor(deps: UnclaimedReleasesDeps) {
    this.#deps = deps;
  }

  apply(orders: readonly ReleaseOrder[]): void {
    this.#orders = orders;
    if (orders.length > 0) this.#start();
  }

  #start(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    for (const order of this.#orders) void this.#release(order);
  }

  async #release(order: ReleaseOrder): Promise<void> {
    const { hypervisor, log, lease, isHeldKnown } = this.#deps;
    const key = `${order.instance_id}/${order.device_name}`;
    if (this.#running.has(key)) return;
    this.#running.add(key);
    try {
      const refusal = this.#refusal(order);
      if (refusal !== undefined) log.error({ order }, refusal);
      else if (lease.isHeld() && isHeldKnown()) {
        await hypervisor.unplug(
          { instanceId: order.instance_id, deviceName: order.device_name },
          AbortSignal.timeout(unplugTimeoutMs),
        );
        log.info({ order }, 'unplugged an unclaimed device, as ordered');
        await hypervisor.lookedAgain();
        return;
      }
    } catch (error) {
      log.warn({ order, reason: messageOf(error) }, 'an unclaimed device is not unplugged yet');
    } finally {
      this.#running.delete(key);
    }
    this.#timer ??= this.#deps.clock.setTimer(retryMs, () => this.#start());
  }

  #refusal({ device_name: name }: ReleaseOrder): string | undefined {
    const parsed = parseDeviceName(name);
    if (parsed === undefined) return 'refused to unplug a device that is not ours';
    if (!this.#deps.isExplained(parsed.attachmentId)) return undefined;
    return 'refused to unplug as unclaimed what the ledger knows as an attachment';
  }
}

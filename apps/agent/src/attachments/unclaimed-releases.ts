/** Unplugs unclaimed devices that an operator has ordered to be unplugged, and exactly those. */
import type { DesiredState } from '@cyborg/api-spec/agent/desired';
import { parseDeviceName } from '@cyborg/model/epoch';
import type { Clock } from '@cyborg/service/clock';
import { messageOf } from '../hypervisors/node-error.ts';
import type { WatchedHypervisor } from '../instances/hypervisors.ts';
import type { SeenDevice } from '../instances/world.ts';
import type { Log } from '../log.ts';
import type { Lease } from '../server-link/lease.ts';

type ReleaseOrder = DesiredState['release_unclaimed'][number];

export interface UnclaimedReleasesDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly lease: Lease;
  readonly hypervisor: WatchedHypervisor;
  /** What the ledger knows is never unclaimed, whatever was ordered about it before. */
  readonly isExplained: (device: Named) => boolean;
  readonly isHeldKnown: () => boolean;
  /** What keeps a release from being done is another thing than it was. */
  readonly onReason: () => void;
}

type Named = Pick<SeenDevice, 'attachmentId' | 'instanceId' | 'epoch'>;

const retryMs = 5_000;
const unplugTimeoutMs = 60_000;
/** As the agent API takes texts. */
const reasonLengthMax = 2048;

export class UnclaimedReleases {
  readonly #deps: UnclaimedReleasesDeps;
  #orders: readonly ReleaseOrder[] = [];
  readonly #running = new Set<string>();
  /** By device: what keeps it from being done. */
  readonly #reasons = new Map<string, string>();
  #timer: Disposable | undefined;

  constructor(deps: UnclaimedReleasesDeps) {
    this.#deps = deps;
  }

  /** Undefined when nothing does, or nobody has ordered it. */
  whyNot({ instanceId, name }: Pick<SeenDevice, 'instanceId' | 'name'>): string | undefined {
    return this.#reasons.get(`${instanceId}/${name}`);
  }

  apply(orders: readonly ReleaseOrder[]): void {
    this.#orders = orders;
    const ordered = new Set(orders.map(keyOf));
    for (const key of this.#reasons.keys()) if (!ordered.has(key)) this.#reasons.delete(key);
    if (orders.length > 0) this.#start();
  }

  #start(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    for (const order of this.#orders) void this.#release(order);
  }

  async #release(order: ReleaseOrder): Promise<void> {
    const { hypervisor, log, lease, isHeldKnown } = this.#deps;
    const key = keyOf(order);
    if (this.#running.has(key)) return;
    this.#running.add(key);
    try {
      const refusal = this.#refusal(order);
      if (refusal !== undefined) this.#waits(order, refusal);
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
      this.#waits(order, messageOf(error));
    } finally {
      this.#running.delete(key);
    }
    this.#timer ??= this.#deps.clock.setTimer(retryMs, () => this.#start());
  }

  /** Told once for each reason. */
  #waits(order: ReleaseOrder, reason: string): void {
    const key = keyOf(order);
    const isOrdered = this.#orders.some((one) => keyOf(one) === key);
    const text = reason.replaceAll('\0', '').slice(0, reasonLengthMax);
    if (!isOrdered || this.#reasons.get(key) === text) return;
    this.#reasons.set(key, text);
    this.#deps.log.warn({ order, reason }, 'an unclaimed device is not unplugged yet');
    this.#deps.onReason();
  }

  #refusal({ instance_id: instanceId, device_name: name }: ReleaseOrder): string | undefined {
    const parsed = parseDeviceName(name);
    if (parsed === undefined) return `${name} is not ours: it is not unplugged.`;
    if (!this.#deps.isExplained({ instanceId, ...parsed })) return undefined;
    return `${name} is an attachment of the ledger by now: it is not unplugged as unclaimed.`;
  }
}

function keyOf({ instance_id: instanceId, device_name: name }: ReleaseOrder): string {
  return `${instanceId}/${name}`;
}

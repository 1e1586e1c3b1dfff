/**
 * One try of each kind of order. Every step is idempotent: after a crash at any point the order comes again, and the same
 * steps end the same. Between two steps the right to go on is checked anew.
 */
import type { Order } from '@cyborg/api-spec/agent/desired';
import type { AttachPlan } from '@cyborg/driver-sdk/protocol';
import { deviceName } from '@cyborg/model/epoch';
import type { Clock } from '@cyborg/service/clock';
import { DriverCallError, isLasting } from '@cyborg/driver-host/driver-error';
import type { Installations } from '../driver-host/installations.ts';
import { HypervisorError, type PlugOrder } from '../hypervisors/hypervisor.ts';
import { messageOf } from '../hypervisors/node-error.ts';
import type { WatchedHypervisor } from '../instances/hypervisors.ts';
import type { SeenDevice } from '../instances/world.ts';
import { agentDefaults } from '../limits.ts';
import type { Fence } from './fence.ts';
import { Handovers } from './handovers.ts';
import type { Images } from './images.ts';
import type { Try } from './outcome.ts';
import type { Permits } from '../privileged/permits.ts';
import type { OrderStep } from '../steps.ts';

export interface ActsDeps {
  readonly clock: Clock;
  readonly fence: Fence;
  readonly drivers: Installations;
  readonly hypervisor: WatchedHypervisor;
  readonly permits: Permits;
  readonly images: Images;
  /** Names of devices that nothing explains and that may be any accelerator's. */
  readonly untraceable: () => string | undefined;
  /** Has the held list read again. */
  readonly refreshHeld: () => void;
}

export interface Attempt {
  readonly order: Order;
  readonly signal: AbortSignal;
  /** The first try of an order that no agent of this host has seen before, known for certain. */
  readonly isNews: boolean;
  /** Monotonic ms after which an attach that does not succeed has failed. */
  readonly deadlineMs: number;
  /** Before each step. @throws when the order was withdrawn or superseded, or the lease has run out. */
  readonly mayGoOn: (next?: OrderStep) => void;
  /** How far an update is. */
  readonly tell: (progress: { readonly percent: number }) => void;
}

export class Acts {
  readonly #deps: ActsDeps;
  readonly #handovers = new Handovers();
  /** By accelerator: attachments whose preparation was undone. After a restart of the agent nobody knows. */
  readonly #released = new Map<string, readonly string[]>();

  constructor(deps: ActsDeps) {
    this.#deps = deps;
  }

  async try(attempt: Attempt): Promise<Try> {
    const { order } = attempt;
    const { permits } = this.#deps;
    using _permit = permits.grant(order.backend_id, order.accelerator_key);
    switch (order.kind) {
      case 'attach':
        return await this.#attach(attempt);
      case 'detach':
        return await this.#detach(attempt);
      case 'clean':
        return await this.#clean(attempt);
      case 'update':
        return await this.#update(attempt);
    }
  }

  async #attach(attempt: Attempt): Promise<Try> {
    const { order, mayGoOn, signal, deadlineMs, isNews } = attempt;
    const { clock } = this.#deps;
    const { attachment_id: attachment, instance_id: instance } = order;
    if (attachment === null || instance === null) return refused('An attach names both ends.');
    try {
      const other = await this.#otherDeviceStill(order, attachment);
      if (other !== undefined) {
        return { is: 'done', outcome: 'failed', message: other, needsPerson: true };
      }
      // Not before that: what another guest has is wiped after it.
      if (isNews && order.plugged_by === 'agent') this.#handovers.begin(order);
      mayGoOn('prepare');
      const plan = await this.#prepare(attempt, { attachment, instance });
      const holder = await this.#otherHolderStill(order, plan);
      if (holder !== undefined) {
        this.#handovers.handOver(order);
        return { is: 'done', outcome: 'failed', message: holder };
      }
      mayGoOn('plug');
      if (order.plugged_by === 'agent') {
        const name = deviceName(attachment, order.device_epoch);
        await this.#plug(attempt, { instanceId: instance, deviceName: name, plan });
      }
      return { is: 'done', outcome: 'attached' };
    } catch (error) {
      signal.throwIfAborted();
      mayGoOn();
      const isLate = clock.monotonicMs() >= deadlineMs;
      const isLast = isFinal(error) && !isStarting(error, order);
      if (isLast) return { is: 'done', outcome: 'failed', message: messageOf(error) };
      if (!isLate) return { is: 'again', outcome: 'retrying', message: messageOf(error) };
      const message = `Not attached within the time allowed; the last reason: ${messageOf(error)}`;
      return { is: 'done', outcome: 'failed', message };
    }
  }

  async #plug({ order, signal }: Attempt, wish: PlugOrder): Promise<void> {
    let takeBack: (() => void) | undefined;
    const onHandover = (): void => {
      takeBack ??= this.#handovers.handOver(order);
    };
    try {
      await this.#deps.hypervisor.plug({ ...wish, onHandover }, signal);
      onHandover();
    } catch (error) {
      if (error instanceof HypervisorError && error.isUntouched) takeBack?.();
      throw error;
    }
  }

  async #prepare(
    { order, signal, deadlineMs }: Attempt,
    ends: { attachment: string; instance: string },
  ) {
    const { clock, drivers, hypervisor } = this.#deps;
    const known = hypervisor.world.instance(ends.instance);
    const plugs = [...(known?.plugs ?? hypervisor.plugs)];
    const { plan } = await drivers.call(
      order.backend_id,
      {
        method: 'prepare',
        params: (backend) => ({
          backend,
          accelerator: order.accelerator_key,
          epoch: order.epoch,
          ...ends,
          plugs,
        }),
      },
      { signal, deadlineMs: Math.max(1_000, Math.min(60_000, deadlineMs - clock.monotonicMs())) },
    );
    const { accelerator_id: id } = order;
    const released = this.#released.get(id) ?? [];
    this.#released.set(
      id,
      released.filter((one) => one !== ends.attachment),
    );
    return plan;
  }

  /** By a new look where the last one says so: what stood in the way may have gone since, as with a card that was pulled. */
  async #otherDeviceStill(order: Order, attachment: string): Promise<string | undefined> {
    if (this.#otherDevice(order, attachment) === undefined) return undefined;
    await this.#deps.hypervisor.lookedAgain();
    return this.#otherDevice(order, attachment);
  }

  /** Another instance that has the function, or is off and would have it when it starts: nothing else may stop it. */
  async #otherHolderStill(order: Order, plan: AttachPlan): Promise<string | undefined> {
    if (order.plugged_by !== 'agent' || plan.kind !== 'pci') return undefined;
    const { hypervisor } = this.#deps;
    const address = functionAddress(plan.address);
    const other = (): string | undefined => {
      const holder = hypervisor.world.holderOfFunction(address);
      return holder === order.instance_id ? undefined : holder;
    };
    if (other() === undefined) return undefined;
    await hypervisor.lookedAgain();
    const holder = other();
    if (holder === undefined) return undefined;
    return `Instance ${holder} has the function ${plan.address}: take it away from that one first.`;
  }

  /** A device of the accelerator that is not the one to be plugged: it would be attached twice. */
  #otherDevice(order: Order, attachment: string): string | undefined {
    if (order.plugged_by !== 'agent') return undefined;
    const { world } = this.#deps.hypervisor;
    const own = deviceName(attachment, order.device_epoch);
    const other = world
      .devicesOf(attachment)
      .find(({ name, instanceId }) => name !== own || instanceId !== order.instance_id);
    if (other !== undefined) {
      return `Instance ${other.instanceId} still has ${other.name}: detach it first.`;
    }
    const device = this.#earlierDevice(order, attachment);
    if (device === undefined) return undefined;
    return `Instance ${device.instanceId} has it as ${device.name}, which the ledger does not know: adopt or release that first (unclaimed-list).`;
  }

  /** A device of the accelerator by another attachment, which the ledger may have forgotten. */
  #earlierDevice(order: Order, attachment: string): SeenDevice | undefined {
    const { fence, hypervisor } = this.#deps;
    const others = fence.attachmentsOf(order.accelerator_id).filter((id) => id !== attachment);
    return others.flatMap((id) => hypervisor.world.devicesOf(id))[0];
  }

  /** Never gives up: what is attached stays the ledger's until it is known to be gone. */
  async #detach({ order, signal, mayGoOn }: Attempt): Promise<Try> {
    const { attachment_id: attachment, instance_id: instance } = order;
    if (attachment === null) return refused('A detach names its attachment.');
    try {
      if (order.plugged_by === 'agent' && instance !== null) {
        await this.#unplugAll(order, { attachment, instance, signal, mayGoOn });
      }
      mayGoOn('release');
      // What its driver prepared went with the uninstall; or it is another attachment's by now, and in use.
      const isInUse = this.#earlierDevice(order, attachment) !== undefined;
      if (!order.driver_gone && !isInUse) await this.#release(order, attachment, signal);
      return { is: 'done', outcome: 'released' };
    } catch (error) {
      signal.throwIfAborted();
      mayGoOn();
      return { is: 'again', outcome: 'retrying', message: messageOf(error) };
    }
  }

  async #unplugAll(
    order: Order,
    {
      attachment,
      instance,
      signal,
      mayGoOn,
    }: { attachment: string; instance: string; signal: AbortSignal; mayGoOn: Attempt['mayGoOn'] },
  ): Promise<void> {
    const { hypervisor } = this.#deps;
    const seen = hypervisor.world
      .devicesOf(attachment)
      .filter(({ instanceId, epoch }) => instanceId === instance && epoch <= order.epoch);
    const names = new Set([
      deviceName(attachment, order.device_epoch),
      ...seen.map(({ name }) => name),
    ]);
    for (const name of names) {
      mayGoOn('unplug');
      await hypervisor.unplug({ instanceId: instance, deviceName: name }, signal);
    }
  }

  async #release(order: Order, attachment: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.drivers.call(
        order.backend_id,
        {
          method: 'release',
          params: (backend) => ({
            backend,
            accelerator: order.accelerator_key,
            epoch: order.epoch,
            attachment,
          }),
        },
        { signal },
      );
    } catch (error) {
      // What is no longer there has nothing to undo.
      if (!(error instanceof DriverCallError && error.failure === 'gone')) throw error;
    }
    const { accelerator_id: id } = order;
    const known = this.#deps.fence.attachmentsOf(id);
    const released = [...(this.#released.get(id) ?? []), attachment];
    this.#released.set(
      id,
      known.filter((one) => released.includes(one)),
    );
  }

  /** What left a guest without a detach (unclaimed, by force) is still prepared for it. */
  async #releaseRest(order: Order, signal: AbortSignal): Promise<void> {
    const released = this.#released.get(order.accelerator_id) ?? [];
    for (const attachment of this.#deps.fence.attachmentsOf(order.accelerator_id)) {
      if (!released.includes(attachment)) await this.#release(order, attachment, signal);
    }
  }

  async #clean({ order, signal, mayGoOn, deadlineMs }: Attempt): Promise<Try> {
    const { clock, drivers } = this.#deps;
    const { resetless_reason: resetless } = order;
    const isNeverGiven = this.#handovers.isNeverGiven(order);
    try {
      const holder = await this.#findHolder(order);
      if (holder !== undefined) return { is: 'again', outcome: 'held', message: holder };
      mayGoOn('clean');
      await this.#releaseRest(order, signal);
      mayGoOn();
      const { evidence } = await drivers.call(
        order.backend_id,
        {
          method: 'clean',
          params: (backend) => ({
            backend,
            accelerator: order.accelerator_key,
            epoch: order.epoch,
            // Drivers of before know no such parameters.
            ...(resetless && { resetless_reason: resetless }),
            ...(isNeverGiven && { never_given: true }),
          }),
        },
        { signal },
      );
      return { is: 'done', outcome: 'cleaned', evidence };
    } catch (error) {
      signal.throwIfAborted();
      mayGoOn();
      if (isNeverGiven && isMisunderstood(error)) {
        this.#handovers.handOver(order); // wiped at the next try
        return { is: 'again', outcome: 'retrying', message: messageOf(error) };
      }
      if (error instanceof HypervisorError || isHostUse(error)) {
        return { is: 'again', outcome: 'held', message: messageOf(error) };
      }
      if (!isLasting(error) && clock.monotonicMs() < deadlineMs) {
        return { is: 'again', outcome: 'retrying', message: messageOf(error) };
      }
      return { is: 'done', outcome: 'clean_failed', message: messageOf(error) };
    }
  }

  /** The card is written anew from the start after any crash: nothing of what was begun is believed. */
  async #update(attempt: Attempt): Promise<Try> {
    const { order, signal, mayGoOn } = attempt;
    const { image = null } = order;
    if (image === null) return refused('An update names its image.');
    try {
      const holder = await this.#findHolderOfCard(order, image.others);
      if (holder !== undefined) return { is: 'again', outcome: 'held', message: holder };
      mayGoOn('fetch');
      await using file = await this.#deps.images.fetch(image, signal);
      mayGoOn('write');
      await this.#write(attempt, { file: file.name, sha256: image.sha256 });
      return { is: 'done', outcome: 'updated' };
    } catch (error) {
      signal.throwIfAborted();
      mayGoOn();
      if (error instanceof HypervisorError) {
        return { is: 'again', outcome: 'held', message: messageOf(error) };
      }
      if (wasNotBegun(error)) return refused(messageOf(error));
      if (hasFailedForGood(error)) {
        return { is: 'done', outcome: 'update_failed', message: messageOf(error) };
      }
      return { is: 'again', outcome: 'retrying', message: messageOf(error) };
    }
  }

  async #write(
    { order, signal, deadlineMs, tell }: Attempt,
    image: { readonly file: string; readonly sha256: string },
  ): Promise<void> {
    const { clock, drivers } = this.#deps;
    const leftMs = deadlineMs - clock.monotonicMs();
    if (leftMs <= 0) throw new DriverCallError('deadline', 'Its time is over.');
    await drivers.update(
      order.backend_id,
      { accelerator: order.accelerator_key, epoch: order.epoch, ...image },
      { signal, deadlineMs: leftMs, onProgress: (percent) => tell({ percent }) },
    );
  }

  async #findHolderOfCard(order: Order, others: readonly string[]): Promise<string | undefined> {
    const holder = await this.#findHolder(order);
    if (holder !== undefined) return holder;
    const { fence, hypervisor } = this.#deps;
    for (const attachment of others.flatMap((id) => fence.attachmentsOf(id))) {
      const [device] = hypervisor.world.devicesOf(attachment);
      if (device !== undefined) {
        return `Instance ${device.instanceId} has a part of the card as ${device.name}.`;
      }
    }
    return undefined;
  }

  /** Who holds the accelerator, as far as a healthy hypervisor can say; not knowing counts as held. */
  async #findHolder(order: Order): Promise<string | undefined> {
    const { clock, fence, hypervisor, untraceable, refreshHeld } = this.#deps;
    const { world } = hypervisor;
    const oldestMs = clock.monotonicMs() - agentDefaults.listingAgeMsMax;
    const isFresh =
      hypervisor.isHealthy && (world.seenAtMs ?? Number.NEGATIVE_INFINITY) >= oldestMs;
    const { address = null } = order;
    // What Nova plugs may be newer than the last look.
    if (!isFresh || address !== null) await hypervisor.lookedAgain();
    for (const attachment of fence.attachmentsOf(order.accelerator_id)) {
      const [device] = world.devicesOf(attachment);
      if (device !== undefined) {
        return `Instance ${device.instanceId} has it as ${device.name}.`;
      }
    }
    if (address !== null) {
      const machine = world.holderOfFunction(functionAddress(address));
      if (machine !== undefined) return `Instance ${machine} has the function ${address}.`;
      if (world.hasUnknown) return `A machine that does not answer may have ${address}.`;
    }
    const stranger = untraceable();
    if (stranger === undefined) return undefined;
    // Somebody may have adopted it: the next try knows.
    refreshHeld();
    return `${stranger} is plugged and nobody knows which accelerator it is: adopt or release it (unclaimed-list).`;
  }
}

/** As the hypervisors' adapters write it: lower case, with leading zeros. */
function functionAddress(address: string): string {
  const [, domain = '', bus = '', device = '', fn = ''] =
    /^([0-9a-f]{1,8}):([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])$/i.exec(address) ?? [];
  return `${domain.padStart(4, '0')}:${bus.padStart(2, '0')}:${device.padStart(2, '0')}.${fn}`.toLowerCase();
}

function isFinal(error: unknown): boolean {
  if (error instanceof HypervisorError) return error.code !== 'unavailable';
  return isLasting(error);
}

/** It had the device and lost it: an instance that is not there now was restarted at the wrong moment. */
function isStarting(error: unknown, { was_attached: wasAttached = false }: Order): boolean {
  return wasAttached && error instanceof HypervisorError && error.code === 'instance-gone';
}

/** By a driver of before, which knows no such parameter. */
function isMisunderstood(error: unknown): boolean {
  return (
    error instanceof DriverCallError && ['internal', 'invalid', 'nonsense'].includes(error.failure)
  );
}

/** What the host has now it lets go of, sooner or later. */
function isHostUse(error: unknown): boolean {
  return error instanceof DriverCallError && error.failure === 'host-use';
}

/** Refused by the driver before it touched the card. */
function wasNotBegun(error: unknown): boolean {
  return (
    error instanceof DriverCallError &&
    ['unsupported', 'invalid', 'host-use'].includes(error.failure)
  );
}

/** Another try would not help, or nobody knows what the last one has left. A driver that died begins again. */
function hasFailedForGood(error: unknown): boolean {
  if (!(error instanceof DriverCallError)) return false;
  return isLasting(error) || ['internal', 'deadline', 'nonsense'].includes(error.failure);
}

function refused(message: string): Try {
  return { is: 'done', outcome: 'refused', message };
}

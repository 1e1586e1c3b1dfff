/** What a trial works with. */
import type {
  BackendSpec,
  DriverAccelerator,
  Inventory,
  PlanKind,
} from '@cyborg/driver-sdk/protocol';
import type { Launched } from '@cyborg/driver-host/launch';
import type { Clock } from '@cyborg/service/clock';
import { messageOf } from '@cyborg/service/node-error';
import type { ClauseId } from './clauses.ts';
import type { Conversation } from './conversation.ts';
import { Broken, Untested } from './failures.ts';
import { kitLimits } from './limits.ts';
import type { StartOptions, Subject } from './subject.ts';

export interface Trial {
  readonly clause: ClauseId;
  /** Not run when one of these is broken. */
  readonly needs?: readonly ClauseId[];
  /** @throws Broken, Untested, or whatever the conversation throws. */
  readonly run: (kit: Kit) => Promise<void>;
}

/** An accelerator that can be given to an instance. */
export interface Target {
  readonly backend: string;
  readonly accelerator: DriverAccelerator;
}

export interface FreshOptions extends StartOptions {
  readonly backends?: readonly BackendSpec[];
  /** Whether the backends are installed, as an agent does after every start. */
  readonly install?: boolean;
}

export const allPlugs: readonly PlanKind[] = [
  'pci',
  'mdev',
  'usb',
  'virtio-crypto',
  'virtio-rng',
  'vhost-user-blk',
  'test-pci',
];

export class Kit {
  readonly subject: Subject;
  readonly clock: Clock;
  readonly seed: number;
  #calm: Conversation | undefined;
  #lastEpoch = 0;
  #lastAttachment = 0;
  #targets: readonly Target[] | undefined;

  constructor(subject: Subject, seed: number) {
    this.subject = subject;
    this.clock = subject.options.clock;
    this.seed = seed;
  }

  /** A process in good order, shared by the trials that leave it so. */
  async calm(): Promise<Conversation> {
    if (this.#calm === undefined || this.#calm.isOver) this.#calm = await this.fresh();
    return this.#calm;
  }

  async fresh(options: FreshOptions = {}): Promise<Conversation> {
    const { conversation, launched } = await this.subject.start(options);
    await this.greet(conversation, launched, options);
    return conversation;
  }

  async greet(
    conversation: Conversation,
    launched: Launched,
    { backends = this.subject.backends, install = true }: FreshOptions = {},
  ): Promise<void> {
    const greeting = { ...this.subject.greeting(launched), backends: [...backends] };
    const limitMs = kitLimits.initializeMsMax;
    await blaming('D-INIT-1', conversation.call('initialize', greeting, limitMs));
    if (!install) return;
    for (const backend of backends) {
      await blaming('D-INST-1', conversation.call('install', { backend, dry_run: false }));
    }
  }

  async discoverAll(conversation: Conversation): Promise<Map<string, Inventory>> {
    const inventories = new Map<string, Inventory>();
    for (const { name } of this.subject.backends) {
      inventories.set(name, await conversation.call('discover', { backend: name }));
    }
    return inventories;
  }

  /** Accelerators on offer, of different devices first. @throws Untested when there are none. */
  async targets(): Promise<readonly Target[]> {
    if (this.#targets === undefined) {
      const inventories = await this.discoverAll(await this.calm());
      this.#targets = [...inventories].flatMap(([backend, { devices }]) =>
        devices.flatMap((device) => {
          const all = device.deployables.flatMap(({ accelerators }) => accelerators);
          return all.filter(isFree).map((accelerator) => ({ backend, accelerator }));
        }),
      );
    }
    const chosen = spread(this.#targets, kitLimits.targetsMax);
    if (chosen.length === 0) throw new Untested('no accelerator is on offer');
    return chosen;
  }

  /** What the trials found on offer. */
  get offered(): readonly Target[] {
    return this.#targets ?? [];
  }

  async target(): Promise<Target> {
    const [first] = await this.targets();
    if (first === undefined) throw new Untested('no accelerator is on offer');
    return first;
  }

  /** Of an act on a target: each act has a higher epoch than the last. */
  order({ backend, accelerator }: Target): { backend: string; accelerator: string; epoch: number } {
    return { backend, accelerator: accelerator.key, epoch: this.nextEpoch() };
  }

  nextEpoch(): number {
    this.#lastEpoch += 1;
    return this.#lastEpoch;
  }

  prepareOrder(target: Target): PrepareOrder {
    this.#lastAttachment += 1;
    const number = String(this.#lastAttachment).padStart(12, '0');
    return {
      ...this.order(target),
      attachment: `00000000-0000-4000-8000-${number}`,
      instance: '11111111-1111-4111-8111-111111111111',
      plugs: [...allPlugs],
    };
  }

  /** Backends with something in them, for trials that need any. */
  anyBackend(): BackendSpec {
    const [first] = this.subject.backends;
    if (first === undefined) throw new Broken('no kind of it works without settings', 'D-INIT-5');
    return first;
  }
}

export interface PrepareOrder {
  readonly backend: string;
  readonly accelerator: string;
  readonly epoch: number;
  readonly attachment: string;
  readonly instance: string;
  readonly plugs: PlanKind[];
}

export function releaseOrder({ backend, accelerator, epoch, attachment }: PrepareOrder): {
  backend: string;
  accelerator: string;
  epoch: number;
  attachment: string;
} {
  return { backend, accelerator, epoch, attachment };
}

/** What every trial begins with is not its own clause's fault. */
async function blaming(clause: ClauseId, work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Broken && error.clause !== undefined) throw error;
    throw new Broken(messageOf(error), clause);
  }
}

function isFree({ offered, host_use: hostUse, plans }: DriverAccelerator): boolean {
  return offered && hostUse === null && plans.length > 0;
}

/** As different ones as there are: of each backend and type in turn. */
function spread(targets: readonly Target[], countMax: number): Target[] {
  const groups = Map.groupBy(targets, (one) => `${one.backend} ${one.accelerator.type}`);
  const chosen: Target[] = [];
  for (let round = 0; chosen.length < Math.min(countMax, targets.length); round += 1) {
    for (const group of groups.values()) {
      const one = group[round];
      if (one !== undefined && chosen.length < countMax) chosen.push(one);
    }
  }
  return chosen;
}

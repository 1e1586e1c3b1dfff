/**
 * The health of a backend's cards: read after a discovery, apart from it, and told when it changes. A discovery says what
 * the last reading found and waits for none.
 */
import { ScanProcess } from '@cyborg/driver-sdk/scan-process';
import type { DriverDevice, Health, Inventory } from '@cyborg/driver-sdk/protocol';
import { defaultHealthSources, type Definition } from '../definitions/schema.ts';
import type { ScanContext } from '../pci/scanner.ts';
import { grade, noHistory, type History } from './grade.ts';
import type { HealthTarget, Signs, SignsInput } from './sources.ts';

export interface HealthLimits {
  /** After a discovery; what comes meanwhile is read once. */
  readonly delayMs: number;
  /** From the end of one reading to the next. */
  readonly gapMs: number;
  /** While a card is not well it is looked at again without a discovery. */
  readonly repeatMs: number;
}

const defaultLimits: HealthLimits = { delayMs: 3000, gapMs: 10_000, repeatMs: 30_000 };

/** Read seldom, so its process need not wait for more. */
const idleMs = 500;

export interface HealthWatchOptions {
  readonly monotonicMs: () => number;
  readonly limits?: HealthLimits;
}

export class HealthReader {
  readonly monotonicMs: () => number;
  readonly limits: HealthLimits;
  readonly #closing = new AbortController();
  /** Apart from discovery's process: a sensor that hangs costs a reading, and no discovery. */
  readonly #process = new ScanProcess<SignsInput, Record<string, Signs>>({
    module: new URL('./sources.ts', import.meta.url),
    limits: { idleMs, blockedPathsMax: 64 },
  });

  constructor({ monotonicMs, limits = defaultLimits }: HealthWatchOptions) {
    this.monotonicMs = monotonicMs;
    this.limits = limits;
  }

  async read(input: SignsInput): Promise<Record<string, Signs>> {
    return await this.#process.run(input, { signal: this.#closing.signal });
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  close(): void {
    this.#closing.abort();
    this.#process.close();
  }
}

type Wish = Pick<ScanContext, 'backend' | 'roots' | 'log' | 'inventoryChanged' | 'healthChanged'>;

/** Of one backend. */
export class HealthWatch {
  readonly #reader: HealthReader;
  #targets: readonly HealthTarget[] = [];
  #histories: ReadonlyMap<string, History> = new Map();
  #healths: Readonly<Record<string, Health>> = {};
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #isStopped = false;
  #lastEndMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(reader: HealthReader) {
    this.#reader = reader;
  }

  /** By address, as the last reading found it; cards not yet read are not in it. */
  get healths(): Readonly<Record<string, Health>> {
    return this.#healths;
  }

  /** Takes over what a discovery found, and reads its health some time later. */
  follow(wish: Wish, inventory: Inventory, definitions: readonly Definition[]): void {
    this.#targets = targetsOf(inventory, definitions);
    const { delayMs, gapMs } = this.#reader.limits;
    const sinceMs = this.#reader.monotonicMs() - this.#lastEndMs;
    if (this.#targets.length > 0) this.#readAfter(Math.max(delayMs, gapMs - sinceMs), wish);
  }

  /** An earlier reading that is to come stands for this one, unless it comes much later. */
  #readAfter(waitMs: number, wish: Wish): void {
    const dueMs = this.#reader.monotonicMs() + waitMs;
    if (this.#isStopped || this.#reader.isClosed || this.#dueMs <= dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => {
      this.#dueMs = Number.POSITIVE_INFINITY;
      void this.#readAndTell(wish);
    }, waitMs).unref();
  }

  /** Now; joins a reading that is under way. */
  async read(wish: Wish): Promise<Readonly<Record<string, Health>>> {
    await this.#readOnce(wish);
    return this.#healths;
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #readAndTell(wish: Wish): Promise<void> {
    const before = this.#healths;
    try {
      await this.#readOnce(wish);
    } catch (error) {
      if (this.#reader.isClosed) return;
      const why = error instanceof Error ? error.message : String(error);
      wish.log('warn', `the health of backend ${wish.backend} could not be read: ${why}`);
      return;
    }
    if (this.#isStopped) return;
    const isUnwell = Object.values(this.#healths).some(({ status }) => status !== 'healthy');
    if (isUnwell) this.#readAfter(this.#reader.limits.repeatMs, wish);
    if (isSame(before, this.#healths)) return;
    wish.healthChanged();
    wish.inventoryChanged(); // an inventory says it too, and agents look there
  }

  async #readOnce({ roots }: Wish): Promise<void> {
    this.#reading ??= this.#read(roots.sysfs).finally(() => {
      this.#reading = undefined;
      this.#lastEndMs = this.#reader.monotonicMs();
    });
    await this.#reading;
  }

  async #read(sysfs: string): Promise<void> {
    const targets = this.#targets;
    const signs = await this.#reader.read({ sysfs, targets });
    const nowMs = this.#reader.monotonicMs();
    const histories = new Map<string, History>();
    const healths: Record<string, Health> = {};
    for (const { address, sources } of targets) {
      const found = signs[address];
      if (found === undefined) continue;
      const before = this.#histories.get(address) ?? noHistory;
      const { health, history } = grade({ signs: found, sources, before, nowMs });
      histories.set(address, history);
      healths[address] = health;
    }
    this.#histories = histories;
    this.#healths = healths;
  }
}

/** Its definition says where a card's health is; without one, the usual places. */
function targetsOf({ devices }: Inventory, definitions: readonly Definition[]): HealthTarget[] {
  return devices.flatMap((device) => {
    if (device.address === null) return [];
    const definition = definitions.find(({ id }) => id === device.info['definition']);
    const sources = definition?.health ?? defaultHealthSources;
    return sources.length === 0 ? [] : [{ address: device.address, sources }];
  });
}

/** A card that was not read before counts as healthy: so has discovery said. */
function isSame(
  before: Readonly<Record<string, Health>>,
  after: Readonly<Record<string, Health>>,
): boolean {
  const addresses = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...addresses].every((address) => {
    const [a, b] = [before[address], after[address]];
    return (
      (a?.status ?? 'healthy') === (b?.status ?? 'healthy') &&
      (a?.reason ?? null) === (b?.reason ?? null)
    );
  });
}

/** The health of each accelerator: its card's, as far as it is known. */
export function healthByAccelerator(
  devices: readonly DriverDevice[],
  healths: Readonly<Record<string, Health>>,
): Record<string, Health> {
  const found: Record<string, Health> = {};
  for (const { address, health, deployables } of devices) {
    const now = address === null ? undefined : healths[address];
    for (const { key } of deployables.flatMap((part) => part.accelerators)) {
      found[key] = now ?? health;
    }
  }
  return found;
}

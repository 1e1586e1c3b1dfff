/** Since when libvirt lacks a domain: a libvirtd that is loading what it knows lists nothing for a moment. */
import type { Clock } from '@cyborg/service/clock';

export const absenceLimits = {
  /** Between the two looks that both must lack a domain before it counts as gone. */
  looksApartMs: 10_000,
  domainsMax: 10_000,
} as const;

export class Absences {
  readonly #clock: Clock;
  /** By UUID: monotonic ms of the first look that lacked it; null while it is there. */
  readonly #sinceMs = new Map<string, number | null>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** libvirt answered, and has these alone. */
  listed(ids: readonly string[]): void {
    const there = new Set(ids);
    const missing = [...this.#sinceMs.keys()].filter((id) => !there.has(id));
    for (const id of missing) this.#miss(id);
    for (const id of there) this.found(id);
  }

  found(id: string): void {
    this.#note(id, null);
  }

  /** libvirt answered, and lacks it. @returns whether it lacked it long enough ago as well. */
  lacks(id: string): boolean {
    return this.#clock.monotonicMs() - this.#miss(id) >= absenceLimits.looksApartMs;
  }

  /** libvirt did not answer: what it lacked before counts no more. */
  forget(): void {
    for (const id of this.#sinceMs.keys()) this.#sinceMs.set(id, null);
  }

  #miss(id: string): number {
    const sinceMs = this.#sinceMs.get(id) ?? this.#clock.monotonicMs();
    this.#note(id, sinceMs);
    return sinceMs;
  }

  #note(id: string, sinceMs: number | null): void {
    this.#sinceMs.set(id, sinceMs);
    if (this.#sinceMs.size <= absenceLimits.domainsMax) return;
    const [oldest] = this.#sinceMs.keys();
    if (oldest !== undefined) this.#sinceMs.delete(oldest);
  }
}

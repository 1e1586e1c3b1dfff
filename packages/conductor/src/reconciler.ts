/**
 * Reconcilers: no input, idempotent, bounded. Each compares what is wanted with what is and does some of the rest.
 */
import type { RawBuilder } from 'kysely';

import type { Topic } from './wake.ts';

export interface PassReport {
  /** Work items looked at. */
  readonly found: number;
  /** More is waiting than one pass takes: run again at once. */
  readonly full: boolean;
  /** Whatever else an operator would want to know of the last pass. */
  readonly notes?: Readonly<Record<string, number>>;
}

export interface Reconciler {
  readonly name: string;
  /** The safety net; a wake-up of one of `topics` also runs it. */
  readonly periodMs: number;
  /** Waited after a wake-up, so that what many requests write at once is one pass; none when absent. */
  readonly gatherMs?: number;
  readonly topics: readonly Topic[];
  /**
   * An expression that the re-check asks the database, with everybody else's, every `recheckMs`: a boolean, true while
   * there is work, or a text that differs whenever there may be. Then `periodMs` is only for what nobody thought of.
   */
  readonly due?: (now: Date) => RawBuilder<unknown>;
  readonly pass: (signal: AbortSignal) => Promise<PassReport>;
}

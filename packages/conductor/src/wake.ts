/**
 * Wake-ups: hints that something changed. Losing one costs latency, never correctness: whoever waits also looks again
 * by itself every `recheckMs`.
 */
export type Topic =
  | 'work'
  /** Wishes for drivers and discoveries, and what hosts report of them. */
  | 'deployments'
  /** Events were written and want their numbers: the sequencer's. */
  | 'events-written'
  /** Events got their numbers: readers'. */
  | 'events'
  /** An accelerator is clean, or stays out. */
  | 'cleaned'
  /** A program image is to be fetched, or has been written or not. */
  | 'programs'
  /** Nova is to be told something. */
  | 'nova-events'
  /** A reconciler of this process has work, as the re-check found. */
  | `due:${string}`
  | `host:${string}`
  | `operation:${string}`;

export interface WakeHub {
  /** Wakes local waiters now and tells other replicas. Call it after commit. */
  wake(topics: Iterable<Topic>): void;
  /** Wakes local waiters only: what another replica told us. */
  wakeLocal(topics: Iterable<Topic>): void;
  /** Calls back at every wake-up of the topic until disposed. */
  subscribe(topic: Topic, onWake: () => void): Disposable;
  /** Topics that somebody here waits for: the re-check asks the database about these. */
  waiting(): readonly Topic[];
}

/** `tell` sends topics to other replicas (NOTIFY); a hint, so it may drop them. */
export function makeWakeHub(tell: (topics: readonly Topic[]) => void = () => {}): WakeHub {
  const waiters = new Map<Topic, Set<() => void>>();
  const wakeLocal = (topics: Iterable<Topic>): void => {
    for (const topic of topics) for (const onWake of waiters.get(topic) ?? []) onWake();
  };
  return {
    wake(topics) {
      const all = [...topics];
      wakeLocal(all);
      if (all.length > 0) tell(all);
    },
    wakeLocal,
    subscribe(topic, onWake) {
      const set = waiters.get(topic) ?? new Set();
      waiters.set(topic, set.add(onWake));
      return {
        [Symbol.dispose]() {
          set.delete(onWake);
          if (set.size === 0 && waiters.get(topic) === set) waiters.delete(topic);
        },
      };
    },
    waiting: () => [...waiters.keys()],
  };
}

/** How an install or an update goes over the hosts. */
export const rolloutFlags = {
  batch: {
    type: 'integer',
    placeholder: 'N',
    min: 1,
    max: 10_000,
    help: 'hosts changed at once',
  },
  canary: {
    type: 'integer',
    placeholder: 'N',
    min: 1,
    max: 10_000,
    help: 'so many hosts go first, and the others wait for them',
  },
  canaryHost: { type: 'strings', placeholder: 'H', help: 'this host goes before the others' },
  pauseBetween: {
    type: 'integer',
    placeholder: 'SECONDS',
    min: 0,
    max: 604_800,
    help: 'after a batch, before the next',
  },
  maxFailures: {
    type: 'integer',
    placeholder: 'N',
    min: 0,
    max: 10_000,
    help: 'hosts that may fail before nothing more is begun (0)',
  },
} as const;

export interface Rollout {
  batch?: number;
  canary?: number;
  canary_hosts?: string[];
  pause_seconds?: number;
  max_failures?: number;
}

/** Undefined when none of the flags is given: it goes as it went before. */
export function toRollout(flags: {
  readonly batch: number | undefined;
  readonly canary: number | undefined;
  readonly canaryHost: readonly string[];
  readonly pauseBetween: number | undefined;
  readonly maxFailures: number | undefined;
}): Rollout | undefined {
  const { batch, canary, canaryHost, pauseBetween, maxFailures } = flags;
  const rollout: Rollout = {
    ...(batch === undefined ? {} : { batch }),
    ...(canary === undefined ? {} : { canary }),
    ...(canaryHost.length === 0 ? {} : { canary_hosts: [...canaryHost] }),
    ...(pauseBetween === undefined ? {} : { pause_seconds: pauseBetween }),
    ...(maxFailures === undefined ? {} : { max_failures: maxFailures }),
  };
  return Object.keys(rollout).length === 0 ? undefined : rollout;
}

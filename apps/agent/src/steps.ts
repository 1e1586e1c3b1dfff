/**
 * The steps of orders and of the privileged acts that they lead to, in their order. Log and errors name them, and
 * test/lab/kills.test.ts kills at each: a new step does not compile there until it says how it is seen.
 */
import type { Order } from '@cyborg/api-spec/agent/desired';

/** `accept`: the fence keeps the order's epoch. `report`: the outcome goes to the server. */
export const orderSteps = {
  attach: ['accept', 'prepare', 'plug', 'report'],
  detach: ['accept', 'unplug', 'release', 'report'],
  clean: ['accept', 'clean', 'report'],
  update: ['accept', 'fetch', 'write', 'report'],
} as const satisfies Record<Order['kind'], readonly string[]>;

export type OrderStep = (typeof orderSteps)[Order['kind']][number];

/** Of acts that are more than one write into sysfs. `unbind` and `probe` are for functions with a kernel driver. */
export const actSteps = {
  bind: ['note', 'override', 'unbind', 'probe'],
  reset: ['reset'],
  restore: ['override', 'unbind', 'probe', 'settle'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type ActStep = (typeof actSteps)[keyof typeof actSteps][number];

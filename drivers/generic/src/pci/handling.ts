/** What configuration and definitions say of how a function is given out and cleaned. */
import type { PciConfig } from './config.ts';
import type { Listed } from './device.ts';

export interface Handling {
  /** It may be taken from its kernel driver while that is idle. */
  readonly mayUnbind: boolean;
  /** Why it is given out again without a reset, where it has none. */
  readonly resetless?: string;
  /** The kernel's reset methods that clean it, the best first; absent: whichever it has. */
  readonly resetMethods?: readonly string[];
  /** How many virtual functions it is to have. */
  readonly vfCount?: number;
  /** It is a virtual function: parts of its configuration space are the physical one's. */
  readonly isVirtual: boolean;
}

export function handlingOf({ fn, match }: Listed, config: PciConfig): Handling {
  const { rule, definition } = match;
  const resetless = rule?.resetless?.reason;
  const vfCount = fn.isVirtual ? undefined : rule?.vfs?.count;
  return {
    mayUnbind: (rule?.unbind ?? config.unbind) === 'idle',
    isVirtual: fn.isVirtual,
    ...(resetless !== undefined && { resetless }),
    ...(definition?.reset !== undefined && { resetMethods: definition.reset }),
    ...(vfCount !== undefined && { vfCount }),
  };
}

/** What configuration and definitions say of how a function is given out and cleaned. */
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { PciConfig } from './config.ts';
import type { Listed } from './device.ts';

export interface Handling {
  /** It may be taken from its kernel driver while that is idle. */
  readonly mayUnbind: boolean;
  /** Why it is given out again with what a guest left in it, where it has no reset or keeps data through one. */
  readonly resetless?: string;
  /** The kernel's reset methods that clean it, the best first; absent: whichever it has. */
  readonly resetMethods?: readonly string[];
  /** It keeps data through a reset, and what erases that is not carried out yet. */
  readonly keepsData: boolean;
  /** How many virtual functions it is to have. */
  readonly vfCount?: number;
  /** It is a virtual function: parts of its configuration space are the physical one's. */
  readonly isVirtual: boolean;
  /** Of the kernel's folder for the function: another one for what comes in its place. */
  readonly inode?: number;
}

export type Handlings = Readonly<Record<string, Handling>>;

export function handlingOf({ fn, match }: Listed, config: PciConfig): Handling {
  const { rule, definition } = match;
  const resetless = rule?.resetless?.reason;
  const vfCount = fn.isVirtual ? undefined : rule?.vfs?.count;
  const vfsMax = definition?.vfs?.max ?? Number.POSITIVE_INFINITY;
  return {
    mayUnbind: (rule?.unbind ?? config.unbind) === 'idle',
    isVirtual: fn.isVirtual,
    keepsData: isStorage(fn) || (definition?.clean?.includes('erase-namespaces') ?? false),
    ...(resetless !== undefined && { resetless }),
    ...(definition?.reset !== undefined && { resetMethods: definition.reset }),
    ...(vfCount !== undefined && { vfCount: Math.min(vfCount, vfsMax) }),
  };
}

/** PCI base class 01, whichever definition describes it: a reset touches no medium, nor what an HBA has behind it. */
function isStorage(fn: PciFunction): boolean {
  return (fn.class ?? 0) >>> 16 === 0x01;
}

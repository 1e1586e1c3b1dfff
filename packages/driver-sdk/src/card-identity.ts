/** By what numbers a card is known wherever it is put. */
import type { PciFunction } from './host-use/function.ts';
import { findSerialNumber, parseVpd } from './pci.ts';

/** Cards read their VPD slowly, some at 100 bytes a second; names and numbers come first. */
const vpdBytesMax = 1024;

export interface CardIdentity {
  /** Device Serial Number of the extended configuration space, `00-11-22-33-44-55-66-77`; null where nobody may read it. */
  readonly dsn: string | null;
  /** Vital Product Data: its name as `id`, and keywords (`SN`, `PN`, …). */
  readonly vpd: Readonly<Record<string, string>>;
}

/** What the kernel shows of it to who asks: both are root's to read. */
export function identityOf(fn: PciFunction): CardIdentity {
  return { dsn: dsnOf(fn), vpd: vpdOf(fn) };
}

export function dsnOf({ config }: PciFunction): CardIdentity['dsn'] {
  return (config === undefined ? undefined : findSerialNumber(config)) ?? null;
}

export function vpdOf(fn: PciFunction): CardIdentity['vpd'] {
  const data = fn.has('vpd') ? fn.bytes('vpd', vpdBytesMax) : undefined;
  return data === undefined ? {} : Object.fromEntries(parseVpd(data));
}

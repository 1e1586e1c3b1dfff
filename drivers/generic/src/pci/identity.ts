/** Who a card is: the same across restarts and, where it has a serial number, across slots. */
import { findSerialNumber, formatPciId, parseVpd } from '@cyborg/driver-sdk/pci';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import type { PciFunction } from './function.ts';

export interface Identity {
  readonly serial: string | null;
  /** Vital product data, where the card has it and we may read it. */
  readonly vpd: ReadonlyMap<string, string>;
}

/** Cards read their VPD slowly, some at 100 bytes a second; names and numbers come first. */
const vpdBytesMax = 1024;
const serialPattern = /^[!-~](?:[ -~]{0,126}[!-~])?$/u;

/** The card's own serial number: of its VPD, its configuration space, or its NVMe controller. */
export function readIdentity(fn: PciFunction, reader: TreeReader): Identity {
  const data = fn.has('vpd') ? fn.bytes('vpd', vpdBytesMax) : undefined;
  const vpd = data === undefined ? new Map<string, string>() : parseVpd(data);
  const config = fn.config;
  const candidates = [
    vpd.get('SN'),
    config === undefined ? undefined : findSerialNumber(config),
    readNvmeSerial(fn, reader),
  ];
  return { serial: candidates.find(isSerial) ?? null, vpd };
}

function isSerial(text: string | undefined): text is string {
  return text !== undefined && serialPattern.test(text) && !/^[0\s-]+$/u.test(text);
}

function readNvmeSerial(fn: PciFunction, reader: TreeReader): string | undefined {
  if (fn.entries.get('nvme') !== 'directory') return undefined;
  const [controller] = reader.names(`${fn.path}/nvme`) ?? [];
  return controller === undefined ? undefined : reader.text(`${fn.path}/nvme/${controller}/serial`);
}

/**
 * Keys of devices by address. A serial number that two cards share (a maker's mistake) identifies neither of them, and
 * one that was read before and cannot be read now (the card sleeps) is remembered.
 *
 * @param known  serial numbers seen before, by {@link slotKey}; what is found is added.
 */
export function assignKeys(
  functions: readonly { readonly fn: PciFunction; readonly identity: Identity }[],
  known: Map<string, string>,
): Map<string, string> {
  const bySerial = new Map<string, string[]>();
  const keys = new Map<string, string>();
  for (const { fn, identity } of functions) {
    const slot = slotKey(fn);
    const serial = identity.serial ?? known.get(slot);
    keys.set(fn.address, slot);
    if (serial === undefined) continue;
    if (known.size < serialsMax) known.set(slot, serial);
    const key = `pci-${idsOf(fn)}-${serial}-f${fn.parsed.function}`.slice(0, 200);
    bySerial.set(key, [...(bySerial.get(key) ?? []), fn.address]);
  }
  for (const [key, [address, ...others]] of bySerial) {
    if (address !== undefined && others.length === 0) keys.set(address, key);
  }
  return keys;
}

const serialsMax = 16_384;

function idsOf({ vendor = 0, device = 0 }: PciFunction): string {
  return `${formatPciId(vendor).slice(2)}-${formatPciId(device).slice(2)}`;
}

/** Where the card is and what it is: another card in the same slot is another device. */
export function slotKey(fn: PciFunction): string {
  return `pci-${fn.address}-${idsOf(fn)}`;
}

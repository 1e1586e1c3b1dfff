/** Who a card is: the same across restarts and, where it has a serial number, across slots. */
import { identityOf, type CardIdentity } from '@cyborg/driver-sdk/card-identity';
import { formatPciId } from '@cyborg/driver-sdk/pci';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';

export interface Identity {
  readonly serial: string | null;
  /** Vital product data, where the card has it and we may read it. */
  readonly vpd: Readonly<Record<string, string>>;
}

/**
 * What was read before, by {@link slotKey}. Reading a card's configuration space wakes it from sleep, so it is done
 * once for as long as the kernel's folder for the card is the same.
 */
export type KnownIdentities = Readonly<Record<string, Identity & { readonly inode: number }>>;

const serialPattern = /^[!-~](?:[ -~]{0,126}[!-~])?$/u;

export interface IdentitySources {
  readonly reader: TreeReader;
  readonly known: KnownIdentities;
  /** By address: keys that the ledger has of functions that are guests' and of which nothing is known here. */
  readonly ledgerKeys?: ReadonlyMap<string, string>;
  /** By address: what the agent reads as root; absent where there is no agent to ask. */
  readonly told?: ReadonlyMap<string, CardIdentity> | undefined;
}

/** Addresses of those of which nothing is known yet. */
export function unidentified(
  functions: readonly PciFunction[],
  { reader, known }: Pick<IdentitySources, 'reader' | 'known'>,
): string[] {
  return functions
    .filter((fn) => known[slotKey(fn)]?.inode !== inodeOf(fn, reader))
    .map(({ address }) => address);
}

function inodeOf(fn: PciFunction, reader: TreeReader): number {
  return reader.inode(fn.path) ?? 0;
}

/** The identities of these functions by address, and all that is known now. */
export function readIdentities(
  functions: readonly PciFunction[],
  { reader, known, ledgerKeys, told }: IdentitySources,
): { identities: Map<string, Identity>; known: KnownIdentities } {
  const identities = new Map<string, Identity>();
  const next: Record<string, Identity & { readonly inode: number }> = {};
  for (const fn of functions) {
    const slot = slotKey(fn);
    const inode = inodeOf(fn, reader);
    const before = known[slot]?.inode === inode ? known[slot] : undefined;
    const shown = before ?? toIdentity(told?.get(fn.address) ?? identityOf(fn));
    const identity = asTheLedgerSays(grown(shown, fn, reader), fn, ledgerKeys?.get(fn.address));
    identities.set(fn.address, identity);
    // It came while the agent was asked.
    if (before === undefined && told?.has(fn.address) === false) continue;
    next[slot] = { serial: identity.serial, vpd: identity.vpd, inode };
  }
  return { identities, known: next };
}

/** A drive that has just come says its number when its driver has asked it, which wakes nothing. */
function grown(before: Identity, fn: PciFunction, reader: TreeReader): Identity {
  if (before.serial !== null) return before;
  const serial = readNvmeSerial(fn, reader);
  return isSerial(serial) ? { ...before, serial } : before;
}

/** The number that only the drive's kernel driver can read: out of the key that it was given when that had it. */
function asTheLedgerSays(read: Identity, fn: PciFunction, key: string | undefined): Identity {
  if (read.serial !== null || key === undefined || !isStillGiven(fn)) return read;
  const [before, after] = aroundSerial(fn);
  if (!key.startsWith(before) || !key.endsWith(after)) return read;
  const serial = key.slice(before.length, -after.length);
  return isSerial(serial) ? { ...read, serial } : read;
}

/** After a start of the host there may be another card, and this is gone. */
function isStillGiven(fn: PciFunction): boolean {
  return fn.driver?.includes('vfio') === true && fn.text('driver_override')?.trim() === fn.driver;
}

function aroundSerial(fn: PciFunction): [before: string, after: string] {
  return [`pci-${idsOf(fn)}-`, `-f${fn.parsed.function}`];
}

/** The card's own serial number: of its VPD or its configuration space; a drive's is asked of its controller ({@link grown}). */
function toIdentity({ dsn, vpd }: CardIdentity): Identity {
  return { serial: [vpd['SN'], dsn ?? undefined].find(isSerial) ?? null, vpd };
}

function isSerial(text: string | undefined): text is string {
  return text !== undefined && serialPattern.test(text) && !/^[0\s-]+$/u.test(text);
}

function readNvmeSerial(fn: PciFunction, reader: TreeReader): string | undefined {
  if (fn.entries.get('nvme') !== 'directory') return undefined;
  const [controller] = reader.names(`${fn.path}/nvme`) ?? [];
  return controller === undefined ? undefined : reader.text(`${fn.path}/nvme/${controller}/serial`);
}

/** Keys of devices by address. A serial number that two cards share (a maker's mistake) identifies neither of them. */
export function assignKeys(
  functions: readonly PciFunction[],
  identities: ReadonlyMap<string, Identity>,
): Map<string, string> {
  const bySerial = new Map<string, string[]>();
  const keys = new Map<string, string>();
  for (const fn of functions) {
    keys.set(fn.address, slotKey(fn));
    const serial = identities.get(fn.address)?.serial ?? null;
    if (serial === null) continue;
    const key = aroundSerial(fn).join(serial).slice(0, keyCharactersMax);
    const sharing = bySerial.get(key) ?? [];
    sharing.push(fn.address);
    bySerial.set(key, sharing);
  }
  for (const [key, [address, ...others]] of bySerial) {
    if (address !== undefined && others.length === 0) keys.set(address, key);
  }
  return keys;
}

/** Leaves room in the protocol's 255 for what deployables and accelerators append. */
const keyCharactersMax = 200;

function idsOf({ vendor = 0, device = 0 }: PciFunction): string {
  return `${formatPciId(vendor).slice(2)}-${formatPciId(device).slice(2)}`;
}

/** Where the card is and what it is: another card in the same slot is another device. */
export function slotKey(fn: PciFunction): string {
  return `pci-${fn.address}-${idsOf(fn)}`;
}

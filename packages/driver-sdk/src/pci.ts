/** PCI as the kernel writes it: addresses, classes, capabilities, vital product data. */

/** `domain:bus:device.function`; domains of 32 bits exist (10000:e1:00.0 behind Intel VMD). */
export interface PciAddress {
  readonly domain: number;
  readonly bus: number;
  readonly device: number;
  readonly function: number;
}

const addressPattern = /^([0-9a-f]{4,8}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/iu;

/** Reads `0000:21:00.0`; undefined for anything else. */
export function parsePciAddress(text: string): PciAddress | undefined {
  const parts = addressPattern.exec(text);
  if (parts === null) return undefined;
  const [domain = 0, bus = 0, device = 0, fn = 0] = parts
    .slice(1)
    .map((part) => parseInt(part, 16));
  return { domain, bus, device, function: fn };
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

/** In the kernel's form: at least four domain digits, lower case. */
export function formatPciAddress(address: PciAddress): string {
  const { domain, bus, device, function: fn } = address;
  return `${hex(domain, 4)}:${hex(bus, 2)}:${hex(device, 2)}.${fn}`;
}

/** By domain, bus, device, function as numbers, so that domain 10000 comes after domain 0002. */
export function comparePciAddresses(a: PciAddress, b: PciAddress): number {
  return a.domain - b.domain || a.bus - b.bus || a.device - b.device || a.function - b.function;
}

/** v2's attach handle: hexadecimal strings without prefix. */
export function toAttachInfo(address: PciAddress): Record<string, string> {
  return {
    domain: hex(address.domain, 4),
    bus: hex(address.bus, 2),
    device: hex(address.device, 2),
    function: hex(address.function, 1),
  };
}

/** A 24-bit class code as `0x030000`. */
export function formatPciClass(code: number): string {
  return `0x${hex(code & 0xffffff, 6)}`;
}

/** A 16-bit id as `0x10de`. */
export function formatPciId(id: number): string {
  return `0x${hex(id & 0xffff, 4)}`;
}

const extendedCapabilitiesStart = 0x100;
const serialNumberCapability = 0x0003;
const capabilitiesMax = 64;

/**
 * The Device Serial Number of the extended configuration space (PCIe 7.9.3), as `00-11-22-33-44-55-66-77`.
 * Undefined when the card has none, its last three bytes are all zeros or all ones, or the space is cut to the 64 bytes that a user who is
 * not root may read.
 */
export function findSerialNumber(config: Buffer): string | undefined {
  let offset = extendedCapabilitiesStart;
  for (let seen = 0; seen < capabilitiesMax && offset + 12 <= config.length; seen += 1) {
    const header = config.readUInt32LE(offset);
    if (header === 0 || header === 0xffffffff) return undefined;
    if ((header & 0xffff) === serialNumberCapability) return toSerial(config, offset + 4);
    const next = header >>> 20;
    if (next <= offset) return undefined; // ends the list, or would run in circles
    offset = next;
  }
  return undefined;
}

function toSerial(config: Buffer, offset: number): string | undefined {
  const bytes = [...config.subarray(offset, offset + 8)].toReversed();
  // Of the maker's id and the card's number (EUI-64), a card that was never given one has only the former.
  const own = bytes.slice(-3);
  if (own.every((byte) => byte === 0) || own.every((byte) => byte === 0xff)) return undefined;
  return bytes.map((byte) => hex(byte, 2)).join('-');
}

const vpdIdentifierTag = 0x82;
const vpdReadOnlyTag = 0x90;
const vpdEndTag = 0x78;

/**
 * Vital Product Data (PCI 3.0 appendix I): the card's name as `id`, and the read-only keywords (`PN` part number,
 * `SN` serial number, …) that are printable text. What is damaged ends the reading; what came before it counts.
 */
export function parseVpd(data: Buffer): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  let offset = 0;
  while (offset + 3 <= data.length) {
    const tag = data[offset] ?? vpdEndTag;
    if (tag === vpdEndTag || (tag & 0x80) === 0) break;
    const end = offset + 3 + data.readUInt16LE(offset + 1);
    if (end > data.length) break;
    const body = data.subarray(offset + 3, end);
    if (tag === vpdIdentifierTag) addText(found, 'id', body);
    if (tag === vpdReadOnlyTag) addKeywords(found, body);
    offset = end;
  }
  return found;
}

function addKeywords(found: Map<string, string>, body: Buffer): void {
  let offset = 0;
  while (offset + 3 <= body.length) {
    const keyword = body.toString('latin1', offset, offset + 2);
    const end = offset + 3 + (body[offset + 2] ?? 0);
    if (end > body.length || !/^[A-Z0-9]{2}$/u.test(keyword)) return;
    if (keyword !== 'RV' && keyword !== 'RW')
      addText(found, keyword, body.subarray(offset + 3, end));
    offset = end;
  }
}

function addText(found: Map<string, string>, key: string, bytes: Buffer): void {
  const text = bytes.toString('latin1').replace(/\0+$/u, '').trim();
  if (/^[ -~]{1,255}$/u.test(text)) found.set(key, text);
}

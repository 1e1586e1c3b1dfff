/** What an accelerator stands for on its host, so that nothing is given twice under two names (promise 1). */

export interface Claim {
  /** Nobody else may have it, or a part of it. */
  readonly whole: string | undefined;
  /** It is a part of this: others may have other parts, nobody the whole. */
  readonly part: string | undefined;
}

const nothing: Claim = { whole: undefined, part: undefined };
const addressPattern = /^([0-9a-f]{4,8}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/;

/** As the kernel writes it; what is no PCI address comes back as it is. */
export function normalPciAddress(text: string): string {
  const lower = text.toLowerCase();
  const [, domain = '', ...rest] = addressPattern.exec(lower) ?? [];
  if (domain === '') return lower;
  const [bus = '', device = '', fn = ''] = rest;
  return `${domain.replace(/^0+/, '').padStart(4, '0')}:${bus}:${device}.${fn}`;
}

/** Of the PCI function that is plugged for it. */
export function pciAddressOf({
  attach_info: info,
  plans,
}: {
  readonly attach_info: Readonly<Record<string, string>>;
  readonly plans: readonly string[];
}): string | undefined {
  const { domain, bus, device, function: fn } = info;
  if (!plans.includes('pci') || domain === undefined) return undefined;
  return normalPciAddress(`${domain}:${bus}:${device}.${fn}`);
}

const pciFunction = (address: string): string => `PCI function ${normalPciAddress(address)}`;

/** The address, when that is what is claimed. */
export function functionIn(claim: string | undefined): string | undefined {
  return claim?.startsWith('PCI function ') === true
    ? claim.slice('PCI function '.length)
    : undefined;
}

/** Of an attach plan, as a configuration declares it. */
export function claimOfPlan(plan: unknown): Claim {
  if (typeof plan !== 'object' || plan === null) return nothing;
  const fields = new Map<string, unknown>(Object.entries(plan));
  const text = (key: string): string => String(fields.get(key));
  switch (fields.get('kind')) {
    case 'pci':
      return { ...nothing, whole: pciFunction(text('address')) };
    case 'mdev':
      return mediated(text('uuid'), text('parent'));
    case 'usb':
      return { ...nothing, whole: `USB device ${text('bus')}-${text('port')}` };
    case 'vhost-user-blk':
      return { ...nothing, whole: `socket ${text('socket')}` };
    default:
      return nothing;
  }
}

/** Of an accelerator's attach handle, as its driver reports it; where that says nothing, its device's address counts. */
export function claimOfHandle(
  info: Readonly<Record<string, string>>,
  address: string | null = null,
): Claim {
  const { domain, bus, device, function: fn, uuid, parent, usb_bus, usb_port, socket } = info;
  if (uuid !== undefined) return mediated(uuid, parent ?? 'unknown');
  if (domain !== undefined && bus !== undefined && device !== undefined && fn !== undefined) {
    return { ...nothing, whole: pciFunction(`${domain}:${bus}:${device}.${fn}`) };
  }
  if (usb_bus !== undefined) return { ...nothing, whole: `USB device ${usb_bus}-${usb_port}` };
  if (socket !== undefined) return { ...nothing, whole: `socket ${socket}` };
  return address === null ? nothing : { ...nothing, whole: pciFunction(address) };
}

function mediated(uuid: string, parent: string): Claim {
  return { whole: `mediated device ${uuid.toLowerCase()}`, part: pciFunction(parent) };
}

/** What both would have; undefined when they do not meet. */
export function sharedBy(a: Claim, b: Claim): string | undefined {
  if (a.whole !== undefined && (a.whole === b.whole || a.whole === b.part)) return a.whole;
  return a.part !== undefined && a.part === b.whole ? a.part : undefined;
}

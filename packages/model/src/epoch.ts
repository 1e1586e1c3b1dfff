/**
 * Fencing epochs: one integer per accelerator, +1 in every transaction that gives or takes it.
 *
 * The upper part is the ledger's incarnation, so every epoch of a restored ledger with a new incarnation is higher than
 * all earlier ones. Stays below 2^53: 2^21 incarnations of 2^32 changes each.
 */
const perIncarnation = 2 ** 32;

export function firstEpoch(incarnation: number): number {
  return incarnation * perIncarnation;
}

/** The next epoch of an accelerator whose last one may come from an earlier incarnation. */
export function nextEpoch(current: number, incarnation: number): number {
  return Math.max(current, firstEpoch(incarnation)) + 1;
}

export function incarnationOf(epoch: number): number {
  return Math.floor(epoch / perIncarnation);
}

const namePattern =
  /^ua-cyborg-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})-(\d{1,16})$/;

/** The device's name in the hypervisor: from it the high-water mark can be read back from the world. */
export function deviceName(attachmentId: string, epoch: number): string {
  return `ua-cyborg-${attachmentId}-${epoch}`;
}

/** Reads a device name back; undefined when it is not one of ours. */
export function parseDeviceName(
  name: string,
): { readonly attachmentId: string; readonly epoch: number } | undefined {
  const match = namePattern.exec(name);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { attachmentId: match[1], epoch: Number(match[2]) };
}

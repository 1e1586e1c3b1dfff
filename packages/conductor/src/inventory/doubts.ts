/**
 * Whether what appears may be a card that somebody still holds. A card without a serial number is known by its slot: put
 * into another one, it looks like another card, with its holder's data in it and its holder's machine waiting for it. Then
 * a person says which it is. Where a held card was before it moved is doubted, too, until its instance has it where it is
 * now: two cards may have changed places between two looks.
 */
import type { Applying } from './applying.ts';
import { claimOfHandle, pciAddressOf } from './claims.ts';
import { acceleratorsOf, type ReportedAccelerator, type ReportedDevice } from './parse.ts';
import type { AcceleratorRow, DeviceRow, HoldingRow } from './rows.ts';

/** Why nobody is given it until an operator says which card it is; null: there is no doubt. */
export type DoubtOf = (
  item: ReportedAccelerator,
  of: { readonly device: ReportedDevice; readonly known: AcceleratorRow | undefined },
) => string | null;

const notFree: ReadonlySet<string> = new Set([
  'reserved',
  'attached',
  'orphaned',
  'cleaning',
  'cleaning_failed',
]);

interface Gone {
  readonly row: AcceleratorRow;
  readonly device: DeviceRow;
}

export function readDoubts({ inventory, known }: Pick<Applying, 'inventory' | 'known'>): DoubtOf {
  const reported = new Set(inventory.devices.map(({ key }) => key));
  const devices = new Map(known.devices.map((row) => [row.id, row]));
  const gone = known.accelerators.flatMap((row): Gone[] => {
    const device = devices.get(row.device_id);
    if (device === undefined || reported.has(device.key) || !notFree.has(row.state)) return [];
    return row.plans.includes('pci') ? [{ row, device }] : [];
  });
  const left = readLeft({ inventory, known });
  if (gone.length === 0 && left.size === 0) return () => null;
  return (item, { device, known: row }) => {
    if (!item.plans.includes('pci')) return null;
    const holding = left.get(pciAddressOf(item) ?? '');
    if (holding !== undefined && isComing(item, row)) return isWhereWas(holding, item);
    if (!isAppearing(row)) return null;
    const inPlace = gone.find((one) => placeOf(one.row, one.device) === placeOf(item, device));
    if (inPlace !== undefined) return isInPlaceOf(inPlace);
    const alike = gone.find((one) => isAlike(one.device, device));
    return alike === undefined ? null : mayBe(alike);
  };
}

/** By PCI address: who may still name it as its own, although the card has moved, now or before. */
function readLeft({
  inventory,
  known,
}: Pick<Applying, 'inventory' | 'known'>): ReadonlyMap<string, HoldingRow> {
  const left = new Map<string, HoldingRow>();
  const reported = new Map(
    inventory.devices.flatMap((device) =>
      acceleratorsOf(device).map((item) => [item.key, pciAddressOf(item)] as const),
    ),
  );
  const rows = new Map(known.accelerators.map((row) => [row.id, row]));
  for (const holding of known.holdings) {
    for (const address of holding.left_addresses) left.set(address, holding);
    const row = rows.get(holding.accelerator_id);
    if (row === undefined || holding.attachment_state === 'reserved') continue;
    const was = pciAddressOf(row);
    const is = reported.get(row.key);
    if (was !== undefined && is !== undefined && was !== is) left.set(was, holding);
  }
  return left;
}

/** Free, and not here at the last look. */
function isComing(item: ReportedAccelerator, row: AcceleratorRow | undefined): boolean {
  if (row === undefined || isAppearing(row)) return true;
  const isFree = row.state === 'available' || row.state === 'withheld';
  return isFree && pciAddressOf(row) !== pciAddressOf(item);
}

/** What was here all the time is what it was; a doubt stays until it is settled. */
function isAppearing(row: AcceleratorRow | undefined): boolean {
  if (row === undefined) return true;
  if (row.state !== 'available' && row.state !== 'withheld') return false;
  return row.presence === 'absent' || row.doubt !== null;
}

type Place = Pick<AcceleratorRow, 'attach_info'>;

function placeOf({ attach_info: info }: Place, { address }: { address: string | null }): unknown {
  return claimOfHandle(info, address).whole ?? Symbol('nowhere');
}

function isAlike(gone: DeviceRow, { serial, vendor_id, device_id }: ReportedDevice): boolean {
  const isSame = gone.vendor_id === vendor_id && gone.device_id === device_id;
  return isSame && vendor_id !== null && serial === null && gone.serial === null;
}

const isAnother =
  'Say that it is another card with accelerator-update --state available --reason TEXT';

function mayBe({ row, device }: Gone): string {
  return `it may be ${row.name}, which is ${row.state.replace('_', ' ')} and gone from ${device.address}: they are alike and have no serial number. ${isAnother}, or that it is the same with accelerator-update --same-as ${row.name} --reason TEXT`;
}

function isInPlaceOf({ row, device }: Gone): string {
  const or =
    row.state === 'cleaning_failed'
      ? `when that one does not come back, say so of it: accelerator-update ${row.id} --state available --reason TEXT`
      : 'end that attachment first';
  return `it is at ${device.address}, where ${row.name} was, which is ${row.state.replace('_', ' ')} and gone: an instance may still name this address as its own. ${isAnother}, or ${or}`;
}

function isWhereWas({ name, state }: HoldingRow, item: ReportedAccelerator): string {
  return `it is at ${pciAddressOf(item)}, where ${name} was, which is ${state.replace('_', ' ')} and has moved: its instance may still name this address as its own. ${isAnother}, or end that attachment first`;
}

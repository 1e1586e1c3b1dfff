/**
 * Whether what appears may be a card that somebody still holds. A card without a serial number is known by its slot: put
 * into another one, it looks like another card, with its holder's data in it and its holder's machine waiting for it. Then
 * a person says which it is.
 */
import type { Applying } from './applying.ts';
import { claimOfHandle } from './claims.ts';
import type { ReportedAccelerator, ReportedDevice } from './parse.ts';
import type { AcceleratorRow, DeviceRow } from './rows.ts';

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
  if (gone.length === 0) return () => null;
  return (item, { device, known: row }) => {
    if (!isAppearing(row) || !item.plans.includes('pci')) return null;
    const inPlace = gone.find((one) => placeOf(one.row, one.device) === placeOf(item, device));
    if (inPlace !== undefined) return isInPlaceOf(inPlace);
    const alike = gone.find((one) => isAlike(one.device, device));
    return alike === undefined ? null : mayBe(alike);
  };
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
  return `it is at ${device.address}, where ${row.name} was, which is ${row.state.replace('_', ' ')} and gone: an instance may still name this address as its own. ${isAnother}, or end that attachment first`;
}

/** The module of the process that looks at a function between two holders: whether it is what it was, and quiet. */
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';

export interface VerifyInput {
  /** The function's folder. */
  readonly folder: string;
  /** A virtual function has its ids and addresses in the physical one. */
  readonly isVirtual: boolean;
  /** No guest had it: firmware may have left it bus master, and nobody has opened it since. */
  readonly isUntouched: boolean;
}

export type VerifyOutput = { readonly evidence: string[] } | { readonly problem: string };

const headerBytes = 64;
const offsets = { ids: 0, command: 4, class: 8, bars: 0x10 } as const;
const busMaster = 1 << 2;
const barCount = 6;

export function scan(
  { folder, isVirtual, isUntouched }: VerifyInput,
  reader: TreeReader,
): VerifyOutput {
  const config = reader.bytes(`${folder}/config`, headerBytes);
  if (config === undefined || config.length < headerBytes) {
    return { problem: 'its configuration space cannot be read' };
  }
  if (config.readUInt32LE(offsets.class) === 0xffff_ffff) {
    return { problem: 'it does not answer (its configuration space reads all ones)' };
  }
  const evidence = ['answers'];
  const problem =
    findWrongIds(config, { folder, isVirtual, isUntouched, reader }) ??
    findWrongState(config, { folder, isVirtual, isUntouched, reader });
  if (problem !== undefined) return { problem };
  evidence.push(`ids ${idsOf(folder, reader)} and class as before`);
  const expected = [
    ...(isUntouched ? [] : ['no bus mastering']),
    ...(isVirtual ? [] : ['addresses as assigned']),
  ];
  if (expected.length > 0) evidence.push(`configuration space as expected: ${expected.join(', ')}`);
  return { evidence };
}

interface Tools extends VerifyInput {
  readonly reader: TreeReader;
}

/** What the kernel read when it found the card is what is expected. */
function findWrongIds(config: Buffer, { folder, isVirtual, reader }: Tools): string | undefined {
  const vendor = reader.integer(`${folder}/vendor`);
  const device = reader.integer(`${folder}/device`);
  const code = reader.integer(`${folder}/class`);
  if (vendor === undefined || device === undefined || code === undefined) {
    return 'what ids it had is not known any more';
  }
  const found = config.readUInt32LE(offsets.class) >>> 8;
  if (found !== code) return `its class is ${hex(found, 6)}, and was ${hex(code, 6)}`;
  const ids = config.readUInt32LE(offsets.ids);
  if (isVirtual || ids === vendor + device * 0x1_0000) return undefined;
  const now = `${hex(ids & 0xffff, 4)}:${hex(ids >>> 16, 4)}`;
  return `its ids are ${now}, and were ${hex(vendor, 4)}:${hex(device, 4)}`;
}

function findWrongState(
  config: Buffer,
  { folder, isVirtual, isUntouched, reader }: Tools,
): string | undefined {
  const command = config.readUInt16LE(offsets.command);
  const driver = reader.linkName(`${folder}/driver`);
  const isDriven = driver !== undefined && !driver.includes('vfio');
  const mayBeMaster = isDriven || isUntouched;
  if (!mayBeMaster && (command & busMaster) !== 0) return 'it is still bus master, with no driver';
  if (isVirtual) return undefined;
  const ranges = reader.lines(`${folder}/resource`) ?? [];
  for (let bar = 0; bar < barCount; bar += 1) {
    const isAssigned = /^0x0*[1-9a-f]/iu.test(ranges[bar] ?? '');
    const address = config.readUInt32LE(offsets.bars + 4 * bar) >>> 4;
    const upper = config.readUInt32LE(offsets.bars + 4 * Math.min(bar + 1, barCount - 1));
    if (isAssigned && address === 0 && upper === 0) return `its address range ${bar} is lost`;
  }
  return undefined;
}

function idsOf(folder: string, reader: TreeReader): string {
  const [vendor = 0, device = 0] = ['vendor', 'device'].map(
    (name) => reader.integer(`${folder}/${name}`) ?? 0,
  );
  return `${hex(vendor, 4)}:${hex(device, 4)}`;
}

const hex = (number: number, digits: number): string =>
  `0x${number.toString(16).padStart(digits, '0')}`;

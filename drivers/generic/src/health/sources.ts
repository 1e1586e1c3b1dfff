/** What the kernel says of a card's health. Runs in a process of its own, because a sensor behind a slow bus may hang. */
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { toInteger } from '@cyborg/driver-sdk/sysfs';
import type { HealthSource } from '../definitions/schema.ts';

/** One card to look at. */
export interface HealthTarget {
  readonly address: string;
  readonly sources: readonly HealthSource[];
}

/** PCIe Advanced Error Reporting: errors since the kernel found the card. */
export interface ErrorCounts {
  readonly correctable: number;
  readonly nonfatal: number;
  readonly fatal: number;
}

export interface Link {
  readonly speed: number;
  readonly width: number;
  /** What card and port can both do. */
  readonly speedMax: number;
  readonly widthMax: number;
}

/** A sensor with limits, all in thousandths of a degree Celsius. */
export interface Temperature {
  readonly name: string;
  readonly value: number;
  readonly max: number | null;
  /** Once it was over its maximum, it is well again below this. */
  readonly maxCleared: number | null;
  readonly critical: number | null;
  readonly criticalCleared: number | null;
}

/** What is null is not to be had, which is no fault of the card. */
export interface Signs {
  /** It should be awake, and what is read of it is all ones: it fell off the bus. */
  readonly isSilent: boolean;
  readonly errors: ErrorCounts | null;
  readonly link: Link | null;
  readonly temperatures: readonly Temperature[];
}

export interface SignsInput {
  readonly sysfs: string;
  readonly targets: readonly HealthTarget[];
}

/** The signs of each card by address; a card that is gone has none. */
export function scan({ sysfs, targets }: SignsInput, reader: TreeReader): Record<string, Signs> {
  const found: Record<string, Signs> = {};
  const bus = `${sysfs}/bus/pci/devices`;
  for (const { address, sources } of targets) {
    const path = reader.resolve(`${bus}/${address}`);
    if (path === undefined) continue;
    const readsLink = sources.includes('link') || sources.includes('link-width');
    found[address] = {
      isSilent: isSilent(reader, path),
      errors: sources.includes('aer') ? readErrors(reader, path) : null,
      link: readsLink ? readLink(reader, path) : null,
      temperatures: sources.includes('hwmon') ? readTemperatures(reader, path) : [],
    };
  }
  return found;
}

/** All ones in the link's status: no link has so many lanes. */
const lanesOfNobody = 63;

/** The kernel keeps the ids that a card had, and asks it for its link each time; one that sleeps deeply says nothing either. */
function isSilent(reader: TreeReader, path: string): boolean {
  const isAwake = (): boolean => reader.text(`${path}/power_state`) === 'D0';
  if (!isAwake()) return false;
  return reader.integer(`${path}/current_link_width`) === lanesOfNobody && isAwake();
}

/** https://docs.kernel.org/PCI/pcieaer-howto.html and Documentation/ABI/testing/sysfs-bus-pci-devices-aer_stats */
function readErrors(reader: TreeReader, path: string): ErrorCounts | null {
  const correctable = readTotal(reader, `${path}/aer_dev_correctable`);
  const nonfatal = readTotal(reader, `${path}/aer_dev_nonfatal`);
  const fatal = readTotal(reader, `${path}/aer_dev_fatal`);
  if (correctable === undefined && nonfatal === undefined && fatal === undefined) return null;
  return { correctable: correctable ?? 0, nonfatal: nonfatal ?? 0, fatal: fatal ?? 0 };
}

/** The last line is `TOTAL_ERR_COR 12`; the others are its parts. */
function readTotal(reader: TreeReader, path: string): number | undefined {
  const total = /^TOTAL_ERR_\w+ +(\d{1,15})$/mu.exec(reader.text(path) ?? '')?.[1];
  return total === undefined ? undefined : Number(total);
}

/** A slow card in a fast slot, or the reverse, is as it should be: the least that card and port can do counts. */
function readLink(reader: TreeReader, path: string): Link | null {
  const port = path.slice(0, path.lastIndexOf('/'));
  const speed = readSpeed(reader, `${path}/current_link_speed`);
  const width = reader.integer(`${path}/current_link_width`);
  const speedMax = readSpeed(reader, `${path}/max_link_speed`);
  const widthMax = reader.integer(`${path}/max_link_width`);
  if (!isKnown(speed) || !isKnown(width) || !isKnown(speedMax) || !isKnown(widthMax)) return null;
  const portSpeed = readSpeed(reader, `${port}/max_link_speed`);
  const portWidth = reader.integer(`${port}/max_link_width`);
  return {
    speed,
    width,
    speedMax: isKnown(portSpeed) ? Math.min(speedMax, portSpeed) : speedMax,
    widthMax: isKnown(portWidth) ? Math.min(widthMax, portWidth) : widthMax,
  };
}

/** The kernel says 0 or 255 lanes, and `Unknown`, of links that are not there: virtual functions, virtual machines. */
function isKnown(value: number | undefined): value is number {
  return value !== undefined && value > 0 && value < 255;
}

/** `16.0 GT/s PCIe`. */
function readSpeed(reader: TreeReader, path: string): number | undefined {
  const text = /^(\d{1,3}(?:\.\d)?) GT\/s/u.exec(reader.text(path) ?? '')?.[1];
  return text === undefined ? undefined : Number(text);
}

/** Where drivers hang their sensors: below the function, or below the NVMe controller. */
function readTemperatures(reader: TreeReader, path: string): Temperature[] {
  const folders = [`${path}/hwmon`];
  for (const name of reader.names(`${path}/nvme`) ?? []) {
    folders.push(`${path}/nvme/${name}`, `${path}/nvme/${name}/hwmon`);
  }
  const monitors = folders.flatMap((folder) =>
    (reader.names(folder) ?? [])
      .filter((name) => /^hwmon\d+$/u.test(name))
      .map((name) => `${folder}/${name}`),
  );
  return monitors.slice(0, monitorsMax).flatMap((monitor) => readMonitor(reader, monitor));
}

const monitorsMax = 16;
const sensorsMax = 32;

/** https://docs.kernel.org/hwmon/sysfs-interface.html */
function readMonitor(reader: TreeReader, monitor: string): Temperature[] {
  const files = new Set(reader.names(monitor) ?? []);
  const sensors = [...files].filter((name) => /^temp\d+_input$/u.test(name)).toSorted();
  return sensors.slice(0, sensorsMax).flatMap((file) => {
    const sensor = file.slice(0, -'_input'.length);
    const read = (what: string): number | null => {
      const name = `${sensor}_${what}`;
      return files.has(name) ? (toInteger(reader.text(`${monitor}/${name}`)) ?? null) : null;
    };
    const [max, critical] = [read('max'), read('crit') ?? read('emergency')];
    // Without a limit there is nothing to ask the sensor for, and asking may take long.
    if ((max === null && critical === null) || read('fault') === 1) return [];
    const value = read('input');
    if (value === null) return [];
    const label = files.has(`${sensor}_label`)
      ? reader.text(`${monitor}/${sensor}_label`)
      : undefined;
    return [
      {
        name: (label ?? sensor).slice(0, 64),
        value,
        max: usable(max),
        maxCleared: read('max_hyst'),
        critical: usable(critical),
        criticalCleared: read('crit_hyst'),
      },
    ];
  });
}

/** Drivers say 0, or the largest number that fits, for "no limit": NVMe drives without a warning temperature. */
function usable(limit: number | null): number | null {
  return limit !== null && limit > 0 && limit < 200_000 ? limit : null;
}

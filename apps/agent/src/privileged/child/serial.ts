/** A number that tells a card from others of its kind, wherever it is put. */
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import { dsnOf, vpdOf } from '@cyborg/driver-sdk/card-identity';
import type { HostView } from './host-view.ts';

type Source = 'config' | 'nvme' | 'vpd';
const sources: readonly Source[] = ['config', 'nvme', 'vpd'];

/** `config 3c-fd-fe-ff-ff-01-02-03`: the number, and where it stands. A virtual function has its card's. */
export function serialOf(host: HostView, fn: PciFunction): string | undefined {
  for (const source of sources) {
    const number = read(host, cardOf(host, fn), source);
    if (number !== undefined) return `${source} ${number}`;
  }
  return undefined;
}

/** The number of the card that is there now, from where the other one stands. */
export function sameSerialOf(host: HostView, fn: PciFunction, serial: string): string | undefined {
  const source = sources.find((one) => serial.startsWith(`${one} `));
  const number = source === undefined ? undefined : read(host, cardOf(host, fn), source);
  return number === undefined ? undefined : `${source} ${number}`;
}

/** The key that has the number in it which only the drive's kernel driver can read; undefined without that driver. */
export function keyByNumber(
  host: HostView,
  fn: PciFunction,
  keys: readonly (string | null | undefined)[],
): string | undefined {
  const number = read(host, fn, 'nvme');
  if (number === undefined) return undefined;
  return keys.find((key) => key?.endsWith(`-${number}-f${fn.parsed.function}`)) ?? undefined;
}

function cardOf(host: HostView, fn: PciFunction): PciFunction {
  const { physicalFunction } = fn;
  return (physicalFunction === undefined ? undefined : host.find(physicalFunction)) ?? fn;
}

function read({ reader }: HostView, fn: PciFunction, source: Source): string | undefined {
  const text = readers[source](
    fn,
    (path) => reader.text(path),
    (path) => reader.names(path) ?? [],
  );
  const number = text?.trim().slice(0, 128) ?? '';
  return /^[0\s-]*$/u.test(number) ? undefined : number;
}

type Read = (
  fn: PciFunction,
  text: (path: string) => string | undefined,
  names: (path: string) => readonly string[],
) => string | undefined;

const readers: Readonly<Record<Source, Read>> = {
  config: (fn) => dsnOf(fn) ?? undefined,
  nvme: ({ path }, text, names) => {
    const [controller] = names(`${path}/nvme`);
    return controller === undefined ? undefined : text(`${path}/nvme/${controller}/serial`);
  },
  vpd: (fn) => vpdOf(fn)['SN'],
};

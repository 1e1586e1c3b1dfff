/** A number that tells a card from others of its kind, wherever it is put. */
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import { findSerialNumber, parseVpd } from '@cyborg/driver-sdk/pci';
import type { HostView } from './host-view.ts';

/** Cards read their VPD slowly; names and numbers come first. */
const vpdBytesMax = 1024;

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
  config: ({ config }) => (config === undefined ? undefined : findSerialNumber(config)),
  nvme: ({ path }, text, names) => {
    const [controller] = names(`${path}/nvme`);
    return controller === undefined ? undefined : text(`${path}/nvme/${controller}/serial`);
  },
  vpd: (fn) => {
    const data = fn.has('vpd') ? fn.bytes('vpd', vpdBytesMax) : undefined;
    return data === undefined ? undefined : parseVpd(data).get('SN');
  },
};

/** Where the server may listen: other than loopback needs TLS (own or a proxy's) and authentication. */
import { BlockList, isIP } from 'node:net';

import { OptionError } from '@cyborg/service/option-error';

export interface ListenAddress {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
}

/** Undefined when it is no `ADDRESS:PORT`; IPv6 in brackets. */
export function parseListen(text: string): ListenAddress | undefined {
  const [, ipv6, plain, digits] =
    /^(?:\[([0-9a-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/i.exec(text) ?? [];
  const port = Number(digits);
  const host = ipv6 ?? plain;
  if (host === undefined || !(port <= 65_535)) return undefined;
  if (ipv6 !== undefined && isIP(ipv6) !== 6) return undefined;
  if (/^[\d.]+$/.test(host) && isIP(host) !== 4) return undefined;
  return { host, port };
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

export function isLoopback({ host }: ListenAddress): boolean {
  if (host === 'localhost') return true;
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

export interface ListenChoice {
  readonly listen: readonly string[];
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly behindTlsProxy: boolean;
  readonly auth: 'http_basic' | 'keystone' | 'none';
}

/** @throws {OptionError} naming the option and the way out. */
export function checkListenRules(choice: ListenChoice): readonly ListenAddress[] {
  const { tlsCert, tlsKey, behindTlsProxy, auth } = choice;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    const missing = tlsCert === undefined ? '--tls-cert' : '--tls-key';
    throw new OptionError(`${missing} is missing: TLS needs both --tls-cert and --tls-key.`);
  }
  if (choice.listen.length === 0) {
    throw new OptionError('--listen is empty: give at least one ADDRESS:PORT.');
  }
  return choice.listen.map((text) => {
    const address = parseListen(text);
    if (address === undefined) throw new OptionError(`--listen ${text} is no ADDRESS:PORT.`);
    if (isLoopback(address)) return address;
    if (tlsCert === undefined && !behindTlsProxy) {
      throw new OptionError(
        `--listen ${text} is not loopback, and passwords would cross the network in the clear: give --tls-cert and --tls-key, ` +
          'or --behind-tls-proxy when a proxy in front ends TLS.',
      );
    }
    if (auth === 'none') {
      throw new OptionError(
        `--listen ${text} is not loopback, and --auth none would make everybody there admin: use --auth http_basic or keystone.`,
      );
    }
    return address;
  });
}

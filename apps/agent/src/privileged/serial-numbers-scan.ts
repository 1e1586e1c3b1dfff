/** Reads by what numbers PCI functions are known: part of a process of its own, because a card may not answer. */
import { identityOf, type CardIdentity } from '@cyborg/driver-sdk/card-identity';
import { listFunctions } from '@cyborg/driver-sdk/host-use/function';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';

export interface SerialNumbersOrder {
  readonly sysfs: string;
  readonly addresses: readonly string[];
  /** What was read before: reading a card's configuration space wakes it from sleep. */
  readonly known: readonly ReadIdentity[];
}

export interface ReadIdentity extends CardIdentity {
  readonly address: string;
  /** Of the kernel's folder for the card: another card in its slot has another. */
  readonly inode: number;
}

export function readSerialNumbers(
  { sysfs, addresses, known }: SerialNumbersOrder,
  reader: TreeReader,
): ReadIdentity[] {
  const functions = listFunctions(reader, sysfs);
  const before = new Map(known.map((one) => [one.address, one]));
  return addresses.flatMap((address) => {
    const fn = functions.get(address);
    const inode = fn === undefined ? undefined : reader.inode(fn.path);
    if (fn === undefined || inode === undefined) return [];
    const same = before.get(address);
    return same?.inode === inode ? [same] : [{ address, inode, ...identityOf(fn) }];
  });
}

/** Whether what is at an address is still what the last look found there: a card may have been swapped since. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackendContext } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { Handlings } from './handling.ts';

type Context = Pick<BackendContext<unknown>, 'roots' | 'inventoryChanged'>;

/** @throws DriverError `transient` when it is not: the next try goes by a new look. */
export async function requireSameFunction(
  { roots, inventoryChanged }: Context,
  address: string,
  handlings: Handlings,
): Promise<void> {
  const seen = handlings[address]?.inode;
  if (seen === undefined) return;
  const folder = join(roots.sysfs, 'bus/pci/devices', address);
  const now = await stat(folder).catch(() => undefined); // asks no device: the kernel knows its folders
  if (now?.ino === seen) return;
  inventoryChanged();
  throw new DriverError(
    'transient',
    `What is at ${address} is not what was there at the last look: it is looked at again.`,
  );
}

/** Virtual functions as the configuration says, made between two discoveries: the agent must know the card first. */
import type { BackendContext } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { Inventory } from '@cyborg/driver-sdk/protocol';
import type { Handlings } from './handling.ts';

type Context = Omit<BackendContext<unknown>, 'config'>;

export interface Division {
  readonly address: string;
  readonly count: number;
}

/** Cards that have another number of virtual functions than they should. */
export function findDivisions(inventory: Inventory, handlings: Handlings): Division[] {
  return inventory.devices.flatMap(({ address, info }) => {
    const count = address === null ? undefined : handlings[address]?.vfCount;
    const current = info['sriov_numvfs'];
    if (address === null || count === undefined || current === undefined) return [];
    return Number(current) === count ? [] : [{ address, count }];
  });
}

/** @returns by address, why a number stays as it is; empty when all are as they should be. */
export async function divide(
  context: Context,
  divisions: readonly Division[],
): Promise<Map<string, string>> {
  const refused = new Map<string, string>();
  for (const { address, count } of divisions) {
    try {
      await context.ask('setVfCount', { address, count });
    } catch (error) {
      if (!(error instanceof DriverError)) throw error;
      context.signal.throwIfAborted();
      refused.set(address, error.message);
    }
  }
  return refused;
}

/** Before a backend goes: what it divided is whole again. A card that has a part in use stays as it is. */
export async function undivideAll(context: Context, handlings: Handlings): Promise<void> {
  const divided = Object.entries(handlings).filter(([, { vfCount = 0 }]) => vfCount > 0);
  const divisions = divided.map(([address]) => ({ address, count: 0 }));
  for (const [address, why] of await divide(context, divisions)) {
    context.log('warn', `${address} keeps its virtual functions: ${why}`);
  }
}

/** What a driver says of its accelerators' health beside its inventory, and the inventory with that in it. */
import type { DriverDevice, Health, Inventory } from '@cyborg/driver-sdk/protocol';

export type Healths = Readonly<Record<string, Health>>;

/** `unknown` says nothing against a card. */
const rank = { healthy: 0, unknown: 0, degraded: 1, failed: 2 } as const;

/** A card is as well as the worst of its accelerators. What `health` says of all of them is newer than the inventory. */
export function withHealths(inventory: Inventory, healths: Healths): Inventory {
  if (Object.keys(healths).length === 0) return inventory;
  return { ...inventory, devices: inventory.devices.map((device) => withHealth(device, healths)) };
}

function withHealth(device: DriverDevice, healths: Healths): DriverDevice {
  const keys = device.deployables.flatMap(({ accelerators }) => accelerators.map(({ key }) => key));
  const told = keys.flatMap((key) =>
    Object.hasOwn(healths, key) ? [{ key, ...healths[key] }] : [],
  );
  if (told.length === 0) return device;
  const said = told.map(({ key, status = 'unknown', reason = null }): Health => {
    const isPart = keys.length > 1 && reason !== null && !reason.startsWith(key);
    return { status, reason: isPart ? `${key}: ${reason}`.slice(0, 1024) : reason };
  });
  const all = told.length === keys.length ? said : [device.health, ...said];
  return { ...device, health: all.reduce((a, b) => (rank[b.status] > rank[a.status] ? b : a)) };
}

/** What this agent would say if it were asked now, for cyborg-inspect. What it does not know is null, never empty. */
import type { Installations } from '../driver-host/installations.ts';
import type { WatchedHypervisor } from '../instances/hypervisors.ts';
import { contentHash } from '../inventory/content-hash.ts';
import type { HeldList } from '../server-link/held-list.ts';
import type { Lease } from '../server-link/lease.ts';
import type { ServerLink } from '../server-link/server-link.ts';
import type { LedgerMemory } from '../state/ledger-memory.ts';

export interface SayingParts {
  readonly hostName: string;
  readonly ledger: LedgerMemory;
  readonly link: ServerLink;
  readonly lease: Lease;
  readonly drivers: Installations;
  readonly hypervisor: WatchedHypervisor;
  readonly held: HeldList;
}

export function sayAgent(parts: SayingParts): object {
  const { hostName, ledger, link, lease, drivers, hypervisor, held } = parts;
  const installations = [...drivers.all()];
  return {
    host: hostName,
    instance: link.instance,
    ledger: ledger.current ?? null,
    lease_held: lease.isHeld(),
    installations: installations.map(({ driverId, driver }) => ({
      driver_id: driverId,
      running_version: driver?.package.version ?? null,
    })),
    backends: installations.flatMap(({ backends }) =>
      [...backends].map(({ wanted, state, inventory }) => ({
        id: wanted.id,
        state: state ?? null,
        inventory_hash: inventory === undefined ? null : contentHash(inventory),
        functions:
          inventory?.devices.flatMap(({ address, kernel_driver }) =>
            address === null ? [] : [{ address, kernel_driver }],
          ) ?? null,
      })),
    ),
    hypervisor: sayHypervisor(hypervisor),
    held: held.isLoaded ? [...held.values()].map(({ attachment_id: id }) => id) : null,
  };
}

/** Null: not looked yet, not to be trusted now, or something did not answer; what is missing then proves nothing. */
function sayHypervisor({ isHealthy, world }: WatchedHypervisor): object | null {
  if (!isHealthy || world.seenAtMs === undefined) return null;
  return {
    is_complete: !world.hasUnknown,
    devices: [...world.devices()].map(({ name, instanceId }) => ({
      name,
      instance_id: instanceId,
    })),
  };
}

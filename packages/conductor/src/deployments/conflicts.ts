/** What a wished backend may collide with: a name that is taken on a host, a function that another backend claims. */
import { ServiceError } from '@cyborg/model/errors';
import type { BackendConfig, DriverManifest, HostSelector } from '@cyborg/store/schema';
import { sql } from 'kysely';

import type { Tx } from '../deps.ts';
import { kindOf, checkConfig } from './config.ts';
import type { DeploymentContext, FleetHost } from './context.ts';
import { overlapOf, type KnownFunction } from './overlap.ts';
import { selects } from './selectors.ts';

export interface PlannedBackend {
  readonly name: string;
  readonly driverId: string;
  readonly kind: string;
  readonly config: BackendConfig;
  readonly selector: HostSelector;
}

/** @throws ServiceError `already-exists` when another driver's backend of that name is for a host of ours. */
export function checkNames(context: DeploymentContext, planned: readonly PlannedBackend[]): void {
  for (const backend of planned) {
    const other = context.others.find(
      (row) => row.name === backend.name && mayMeet(row.selector, backend.selector, context.hosts),
    );
    if (other === undefined) continue;
    throw new ServiceError(
      'already-exists',
      `backend ${backend.name}: driver ${other.driver_id} has a backend of that name on some of these hosts: choose another name.`,
    );
  }
}

/** Selectors that are not both lists of hosts may meet on a host that is yet to come. */
function mayMeet(a: HostSelector, b: HostSelector, hosts: readonly FleetHost[]): boolean {
  const isFixed = a.kind === 'hosts' || b.kind === 'hosts';
  return !isFixed || hosts.some((host) => selects(a, host) && selects(b, host));
}

/** @throws ServiceError `backend-overlap` naming both. */
export async function checkOverlaps(
  tx: Tx,
  context: DeploymentContext,
  given: { readonly all: readonly PlannedBackend[]; readonly changed: ReadonlySet<string> },
): Promise<void> {
  const suspects = given.all.filter(({ kind }) => kind === 'pci');
  const pairs = suspects.flatMap((one, index) =>
    suspects
      .slice(index + 1)
      .filter((other) => given.changed.has(one.name) || given.changed.has(other.name))
      .filter((other) => mayMeet(one.selector, other.selector, context.hosts))
      .map((other) => [one, other] as const),
  );
  if (pairs.length === 0) return;
  const functions = await listFunctions(tx);
  for (const [one, other] of pairs) {
    const shared = context.hosts.filter(
      (host) => selects(one.selector, host) && selects(other.selector, host),
    );
    const names = new Set(shared.map(({ name }) => name));
    const why = overlapOf(
      one,
      other,
      functions.filter(({ host }) => names.has(host)),
    );
    if (why === undefined) continue;
    throw new ServiceError(
      'backend-overlap',
      `Backends ${one.name} and ${other.name} claim the same functions (${why}): give them disjoint rules ` +
        '(`classes: []` with rules of its own, or `exclude`), or different hosts.',
      { extra: { backends: [one.name, other.name] } },
    );
  }
}

async function listFunctions(tx: Tx): Promise<KnownFunction[]> {
  const { rows } = await sql<KnownFunction>`
    select distinct host.name as host, device.address, device.vendor_id, device.device_id, device.class,
      device.kernel_driver
    from device join host on host.id = device.host_id
    where device.address is not null and device.presence = 'present'`.execute(tx);
  return rows;
}

/** A kept backend as the checks compare it: with its defaults. */
export function toPlanned(
  row: {
    readonly name: string;
    readonly kind: string;
    readonly config: BackendConfig;
    readonly selector: HostSelector;
  },
  driverId: string,
  manifest: DriverManifest | undefined,
): PlannedBackend {
  const { name, kind, config, selector } = row;
  const filled =
    manifest === undefined
      ? config
      : checkConfig(kindOf(manifest, { backend: name, kind }), { backend: name, config });
  return { name, driverId, kind, config: filled, selector };
}

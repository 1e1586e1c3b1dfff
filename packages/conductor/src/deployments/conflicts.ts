/** What a wished backend may collide with: a name that is taken on a host, a function that another backend claims. */
import { ServiceError } from '@cyborg/model/errors';
import type { BackendConfig, HostSelector } from '@cyborg/store/schema-deployments';
import type { DriverManifest } from '@cyborg/store/schema-drivers';
import { sql } from 'kysely';

import type { Tx } from '../deps.ts';
import { claimOfHandle, functionIn } from '../inventory/claims.ts';
import { kindOf, checkConfig } from './config.ts';
import type { DeploymentContext, FleetHost } from './context.ts';
import { declaredBy, declaredTwice, type HostedAddition } from './declared.ts';
import { overlapOf, type Claimant, type KnownFunction } from './overlap.ts';
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

export interface Comparison {
  readonly all: readonly PlannedBackend[];
  readonly changed: ReadonlySet<string>;
  /** What is about to be added by request. */
  readonly added?: readonly AddedItem[];
}

/** @throws ServiceError `backend-overlap` naming both; `invalid-input` for one that declares a thing twice. */
export async function checkOverlaps(
  tx: Tx,
  context: Pick<DeploymentContext, 'hosts'>,
  given: Comparison,
): Promise<void> {
  const suspects = given.all.filter(({ kind }) => kind === 'pci' || kind === 'static');
  const isAboutDeclared = suspects.some(({ kind }) => kind === 'static');
  const added = isAboutDeclared ? [...(await listAdditions(tx)), ...(given.added ?? [])] : [];
  refuseDeclaredTwice(suspects, { changed: given.changed, added });
  const pairs = suspects.flatMap((one, index) =>
    suspects
      .slice(index + 1)
      .filter((other) => given.changed.has(one.name) || given.changed.has(other.name))
      .filter((other) => mayMeet(one.selector, other.selector, context.hosts))
      .map((other) => [one, other] as const),
  );
  if (pairs.length === 0) return;
  const functions = await listFunctions(tx);
  const listed = isAboutDeclared ? await listListed(tx) : [];
  for (const [one, other] of pairs) {
    const shared = context.hosts.filter(
      (host) => selects(one.selector, host) && selects(other.selector, host),
    );
    const names = new Set(shared.map(({ name }) => name));
    const onShared = ({ host }: { readonly host: string }): boolean => names.has(host);
    const claimantOf = (backend: PlannedBackend): Claimant => ({
      ...backend,
      additions: added.filter((item) => isOf(item, backend) && onShared(item)),
      // What it lists, it lists by the configuration that it has now.
      lists: given.changed.has(backend.name)
        ? []
        : listed.filter((place) => isOf(place, backend) && onShared(place)),
    });
    const why = overlapOf(claimantOf(one), claimantOf(other), functions.filter(onShared));
    if (why !== undefined) throw overlapping([one, other], why);
  }
}

function overlapping(
  [one, other]: readonly [PlannedBackend, PlannedBackend],
  why: string,
): ServiceError {
  const wayOut =
    one.kind === 'static' || other.kind === 'static'
      ? 'declare it in one backend only, or `exclude` its address from the rules of the other'
      : 'give them disjoint rules (`classes: []` with rules of its own, or `exclude`)';
  return new ServiceError(
    'backend-overlap',
    `Backends ${one.name} and ${other.name} claim the same functions (${why}): ${wayOut}, or different hosts.`,
    { extra: { backends: [one.name, other.name] } },
  );
}

function refuseDeclaredTwice(
  suspects: readonly PlannedBackend[],
  {
    changed,
    added,
  }: { readonly changed: ReadonlySet<string>; readonly added: readonly AddedItem[] },
): void {
  for (const backend of suspects) {
    if (backend.kind !== 'static' || !changed.has(backend.name)) continue;
    const own = added.filter((item) => isOf(item, backend));
    const why = declaredTwice(declaredBy(backend.config, own));
    if (why === undefined) continue;
    throw new ServiceError(
      'invalid-input',
      `backend ${backend.name}: config.accelerators: ${why}.`,
    );
  }
}

interface OfBackend {
  readonly driver_id: string;
  readonly backend: string;
}

export interface AddedItem extends OfBackend, HostedAddition {}

interface ListedFunction extends OfBackend {
  readonly host: string;
  readonly address: string;
}

function isOf(item: OfBackend, { driverId, name }: PlannedBackend): boolean {
  return item.driver_id === driverId && item.backend === name;
}

async function listAdditions(tx: Tx): Promise<AddedItem[]> {
  const rows = await tx
    .selectFrom('backend')
    .innerJoin('host', 'host.id', 'backend.host_id')
    .select(['backend.driver_id', 'backend.name as backend', 'host.name as host', 'additions'])
    .where('backend.kind', '=', 'static')
    .where('backend.state', '<>', 'removing')
    .execute();
  return rows.flatMap(({ additions, ...place }) => additions.map((item) => ({ ...place, item })));
}

/** Functions that backends of kind `pci` report, virtual ones too. */
async function listListed(tx: Tx): Promise<ListedFunction[]> {
  const rows = await tx
    .selectFrom('accelerator')
    .innerJoin('backend', 'backend.id', 'accelerator.backend_id')
    .innerJoin('host', 'host.id', 'accelerator.host_id')
    .select(['backend.driver_id', 'backend.name as backend', 'host.name as host', 'attach_info'])
    .where('backend.kind', '=', 'pci')
    .where('accelerator.presence', '=', 'present')
    .execute();
  return rows.flatMap(({ attach_info, ...place }) => {
    const address = functionIn(claimOfHandle(attach_info).whole);
    return address === undefined ? [] : [{ ...place, address }];
  });
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

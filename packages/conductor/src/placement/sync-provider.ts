/**
 * Makes one resource provider say what the ledger says. Each round reads Placement first and the ledger after it, and
 * writes with the generation that it read: of two writers the one that knew less is refused, and looks again.
 */
import type { PlacementCall, PlacementClient, WriteOutcome } from '@cyborg/openstack/placement';
import type { Inventories, ResourceProvider, Traits } from '@cyborg/openstack/placement-wire';
import { toJson } from '@cyborg/store/json';
import {
  deletePlacementRow,
  recordSynced,
  updatePlacementRow,
  type PlacementRow,
} from '@cyborg/store/placement';
import type { PlacementTrouble } from '@cyborg/store/schema-openstack';

import type { ConductorDeps } from '../deps.ts';
import { closedInventories, inventoriesToWrite, traitsToWrite } from './content.ts';
import type { EnsuredNames } from './ensured-names.ts';
import type { PlacementLimits } from './limits.ts';
import { readWanted, type WantedProvider } from './wanted.ts';

export interface SyncDeps extends Pick<ConductorDeps, 'db' | 'clock'> {
  readonly placement: PlacementClient;
  readonly names: EnsuredNames;
  readonly placementLimits: PlacementLimits;
  readonly withHotplug: boolean;
  /** The compute node's provider; undefined when there is none. */
  readonly nodeOf: (name: string, call: PlacementCall) => Promise<ResourceProvider | undefined>;
}

export type SyncOutcome =
  | { readonly kind: 'done' | 'removed' }
  | { readonly kind: 'waits'; readonly trouble: PlacementTrouble; readonly reason: string };

const concurrentUpdate = 'placement.concurrent_update';

/** @throws {OpenStackError} */
export async function syncProvider(
  deps: SyncDeps,
  given: PlacementRow,
  call: PlacementCall,
): Promise<SyncOutcome> {
  let row = given;
  for (let round = 1; round <= deps.placementLimits.conflictsMax; round++) {
    const actual = await readActual(deps, row, call);
    const wanted = await readWanted(deps.db, {
      deployableId: row.deployable_id,
      rpUuid: row.rp_uuid,
      withHotplug: deps.withHotplug,
    });
    if (wanted === undefined) return removeProvider(deps, row, call);
    if (actual === 'changing') continue;
    if (actual === undefined || !row.is_made || hasOtherNode(row, wanted)) {
      const outcome = await ensureProvider(deps, { row, wanted, call });
      if (outcome.kind === 'waits') return outcome;
      row = outcome.row;
      continue;
    }
    const outcome = await writeContent(deps, { row, wanted, actual, call });
    if (outcome !== 'again') return outcome;
  }
  return waits('refused', 'Others keep changing the provider at the same moment.');
}

function hasOtherNode({ synced }: PlacementRow, { content }: WantedProvider): boolean {
  return synced !== null && synced.node_name !== content.node_name;
}

interface Actual {
  readonly inventories: Inventories;
  readonly traits: Traits;
}

async function readActual(
  { placement }: SyncDeps,
  { rp_uuid: uuid }: PlacementRow,
  call: PlacementCall,
): Promise<Actual | 'changing' | undefined> {
  const inventories = await placement.getInventories(uuid, call);
  if (inventories === undefined) return undefined;
  const traits = await placement.getTraits(uuid, call);
  if (traits?.generation !== inventories.generation) return 'changing';
  return { inventories, traits };
}

interface Step {
  readonly row: PlacementRow;
  readonly wanted: WantedProvider;
  readonly call: PlacementCall;
}

type Ensured =
  | { readonly kind: 'there'; readonly row: PlacementRow }
  | Extract<SyncOutcome, { kind: 'waits' }>;

/** Made under the compute node's; one that is there already, with our name at our place, is ours. */
async function ensureProvider(deps: SyncDeps, step: Step): Promise<Ensured> {
  const { placement, db, clock, nodeOf } = deps;
  const { row, wanted, call } = step;
  const { rpUuid: uuid, name, content } = wanted;
  const node = await nodeOf(content.node_name, call);
  if (node === undefined) return noNode(content.node_name);
  const isOurs = (found: ResourceProvider | undefined): boolean =>
    found?.name === name && found.parentUuid === node.uuid;
  let found = await placement.getProvider(uuid, call);
  if (found !== undefined && !isOurs(found) && row.synced !== null) {
    // Ours, under the node that the host had before.
    const removed = await placement.deleteProvider(uuid, call);
    if (removed.kind === 'conflict') return stillUsed(name, removed.reason);
    found = undefined;
  }
  if (found !== undefined && !isOurs(found)) return foreign(deps, step, found);
  const owned_classes = union(row.owned_classes, [content.resource_class]);
  const owned_traits = union(row.owned_traits, content.traits);
  const owned = { owned_classes: toJson(owned_classes), owned_traits: toJson(owned_traits) };
  await updatePlacementRow(db, uuid, { ...owned, updated_at: clock.now() });
  if (found === undefined) {
    const made = await placement.createProvider({ uuid, name, parentUuid: node.uuid }, call);
    if (made.kind === 'gone') return noNode(content.node_name);
    found = made.kind === 'written' ? made.value : await placement.getProvider(uuid, call);
    if (!isOurs(found)) return foreign(deps, step, found);
  }
  await updatePlacementRow(db, uuid, { is_made: true, updated_at: clock.now() });
  const there = { ...row, is_made: true, synced: null, owned_classes, owned_traits };
  return { kind: 'there', row: there };
}

async function writeContent(
  deps: SyncDeps,
  { row, wanted, actual, call }: Step & { readonly actual: Actual },
): Promise<SyncOutcome | 'again'> {
  const { placement, db, clock, names } = deps;
  const { content, rpUuid } = wanted;
  const classes = union(row.owned_classes, [content.resource_class]);
  const isNew = (trait: string): boolean => !actual.traits.traits.includes(trait);
  const owned = union(row.owned_traits, content.traits.filter(isNew));
  const inventories = inventoriesToWrite(actual.inventories.byClass, content, classes);
  const traits = traitsToWrite(actual.traits.traits, content.traits, owned);
  if (classes.length > row.owned_classes.length || owned.length > row.owned_traits.length) {
    const changes = { owned_classes: toJson(classes), owned_traits: toJson(owned) };
    await updatePlacementRow(db, rpUuid, { ...changes, updated_at: clock.now() });
  }
  let { generation } = actual.inventories;
  if (inventories !== undefined) {
    await names.resourceClass(content.resource_class, call);
    const written = await placement.putInventories(
      rpUuid,
      { generation, byClass: inventories },
      call,
    );
    if (written.kind !== 'written') return refused(wanted, written);
    generation = written.value.generation;
  }
  if (traits !== undefined) {
    for (const trait of content.traits) await names.trait(trait, call);
    const written = await placement.putTraits(rpUuid, { generation, traits }, call);
    if (written.kind !== 'written') return refused(wanted, written);
    generation = written.value.generation;
  }
  await recordSynced(db, { rpUuid, content, generation, isNew: row.synced === null });
  await updatePlacementRow(db, rpUuid, {
    owned_classes: toJson([content.resource_class]),
    owned_traits: toJson(owned.filter((trait) => content.traits.includes(trait))),
    updated_at: clock.now(),
  });
  return { kind: 'done' };
}

/** Its deployable is gone, or no longer Nova's to bind. What is allocated keeps the provider, closed, until it is not. */
async function removeProvider(
  deps: SyncDeps,
  row: PlacementRow,
  call: PlacementCall,
): Promise<SyncOutcome> {
  const { placement, db } = deps;
  const { rp_uuid: uuid } = row;
  const mayBeOurs = row.is_made || row.owned_classes.length > 0;
  const found = mayBeOurs ? await placement.getProvider(uuid, call) : undefined;
  if (found?.name === row.name) {
    const removed = await placement.deleteProvider(uuid, call);
    if (removed.kind === 'conflict') {
      await close(deps, row, call);
      return stillUsed(row.name, removed.reason);
    }
  }
  await deletePlacementRow(db, uuid);
  return { kind: 'removed' };
}

/** A conflict here is looked at again with the next attempt. */
async function close(deps: SyncDeps, row: PlacementRow, call: PlacementCall): Promise<void> {
  const { placement } = deps;
  const current = await placement.getInventories(row.rp_uuid, call);
  const closed = current && closedInventories(current.byClass, row.owned_classes);
  if (current === undefined || closed === undefined) return;
  const { generation } = current;
  await placement.putInventories(row.rp_uuid, { generation, byClass: closed }, call);
}

function refused(
  { name }: WantedProvider,
  written: Exclude<WriteOutcome<unknown>, { kind: 'written' }>,
): SyncOutcome | 'again' {
  if (written.kind === 'gone' || written.code === concurrentUpdate) return 'again';
  return stillUsed(name, written.reason);
}

function noNode(nodeName: string): Extract<SyncOutcome, { kind: 'waits' }> {
  return waits(
    'no-node',
    `Placement has no resource provider named ${nodeName}: nova-compute makes it when it starts on that host; if the hypervisor calls the host something else, tell its agent with --node-name.`,
  );
}

function stillUsed(name: string, reason: string): Extract<SyncOutcome, { kind: 'waits' }> {
  return waits('in-use', `Provider ${name} is held by what is allocated from it: ${reason}`);
}

/** Then nothing of it is ours, and it stays when our deployable goes. */
async function foreign(
  { db, clock }: SyncDeps,
  { wanted: { name, rpUuid, content } }: Step,
  found: ResourceProvider | undefined,
): Promise<Extract<SyncOutcome, { kind: 'waits' }>> {
  const owned = { owned_classes: toJson([]), owned_traits: toJson([]), is_made: false };
  await updatePlacementRow(db, rpUuid, { ...owned, updated_at: clock.now() });
  const what =
    found === undefined
      ? `the name ${name} is another provider's`
      : `provider ${rpUuid} is there as ${found.name}, and not as ${name} under ${content.node_name}`;
  return waits(
    'foreign',
    `In Placement ${what}: nothing is changed there. Remove it if nobody needs it ("openstack resource provider delete").`,
  );
}

function waits(trouble: PlacementTrouble, reason: string): Extract<SyncOutcome, { kind: 'waits' }> {
  return { kind: 'waits', trouble, reason };
}

function union(some: readonly string[], more: readonly string[]): string[] {
  return [...new Set([...some, ...more])];
}

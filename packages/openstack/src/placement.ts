/**
 * What is asked of Placement. A write of a provider carries the generation that it was read with: a `conflict` means
 * that somebody else wrote meanwhile; read again and decide anew.
 */
import { malformed } from './answer.ts';
import type { Answer } from './answer.ts';
import { toError } from './answer.ts';
import {
  allocationsBody,
  inventoryBody,
  parseAllocations,
  parseInventories,
  parseOneInventory,
  parseProvider,
  parseProviderAllocations,
  parseProviders,
  parseTraits,
  parseUsages,
} from './placement-wire.ts';
import type {
  ConsumerAllocations,
  Inventories,
  Inventory,
  NewAllocations,
  ResourceProvider,
  Resources,
  Traits,
} from './placement-wire.ts';
import { ShapeError } from './reader.ts';
import type { ServiceRequest, Session } from './session.ts';

/** Consumer types came with 1.38; 1.39 is Zed's, and known to all releases since. */
export const placementMicroversion = '1.39';
/** The last that neither shows nor wants a consumer type: for consumers that Nova wrote. */
export const untypedMicroversion = '1.36';

export type WriteOutcome<Written = undefined> =
  | { readonly kind: 'written'; readonly value: Written }
  /** Placement's code, such as `placement.concurrent_update` or `placement.inventory.inuse`, and words. */
  | { readonly kind: 'conflict'; readonly code: string | undefined; readonly reason: string }
  /** The provider is not there (any more). */
  | { readonly kind: 'gone' };

export interface PlacementCall {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** `req-<uuid>` of the request that this call is part of. */
  readonly requestId?: string | undefined;
}

export interface NewProvider {
  readonly uuid: string;
  readonly name: string;
  readonly parentUuid: string | null;
}

export interface OneInventory extends Inventory {
  readonly generation: number;
  readonly resourceClass: string;
}

/** All throw {OpenStackError} for what their results do not say. `undefined`: there is no such provider. */
export interface PlacementClient {
  findProvider(name: string, call?: PlacementCall): Promise<ResourceProvider | undefined>;
  getProvider(uuid: string, call?: PlacementCall): Promise<ResourceProvider | undefined>;
  /** Its whole tree, itself included; empty when it is not there. */
  listTree(uuid: string, call?: PlacementCall): Promise<readonly ResourceProvider[]>;
  /** `conflict`: name or uuid are in use. */
  createProvider(
    provider: NewProvider,
    call?: PlacementCall,
  ): Promise<WriteOutcome<ResourceProvider>>;
  /** `conflict`: something is allocated from it, or it has children. */
  deleteProvider(uuid: string, call?: PlacementCall): Promise<WriteOutcome>;
  getInventories(uuid: string, call?: PlacementCall): Promise<Inventories | undefined>;
  /** Replaces all. `conflict`: the generation is old, or what it takes away is allocated. */
  putInventories(
    uuid: string,
    inventories: Inventories,
    call?: PlacementCall,
  ): Promise<WriteOutcome<Inventories>>;
  /** Replaces the inventory of one class and leaves the others. */
  putInventory(
    uuid: string,
    inventory: OneInventory,
    call?: PlacementCall,
  ): Promise<WriteOutcome<{ readonly generation: number }>>;
  getTraits(uuid: string, call?: PlacementCall): Promise<Traits | undefined>;
  /** Replaces all. */
  putTraits(uuid: string, traits: Traits, call?: PlacementCall): Promise<WriteOutcome<Traits>>;
  /** A CUSTOM_ trait is made unless it is there; another must be there. */
  ensureTrait(name: string, call?: PlacementCall): Promise<void>;
  /** A CUSTOM_ class is made unless it is there; another must be there. */
  ensureResourceClass(name: string, call?: PlacementCall): Promise<void>;
  /** How much of each class is allocated. */
  getUsages(uuid: string, call?: PlacementCall): Promise<Resources | undefined>;
  /** What each consumer holds of it. */
  getProviderAllocations(
    uuid: string,
    call?: PlacementCall,
  ): Promise<ReadonlyMap<string, Resources> | undefined>;
  /** Undefined: the consumer holds nothing. */
  getAllocations(
    consumerId: string,
    call?: PlacementCall,
  ): Promise<ConsumerAllocations | undefined>;
  /** Replaces what these consumers hold, of all or of none. `conflict`: no room, or a consumer's generation is old. */
  postAllocations(
    consumers: readonly NewAllocations[],
    call?: PlacementCall,
  ): Promise<WriteOutcome>;
  /** Whether it held something. */
  deleteAllocations(consumerId: string, call?: PlacementCall): Promise<boolean>;
}

export function makePlacement(session: Session): PlacementClient {
  const ask = makeAsk(session);
  return { ...providers(ask), ...inventories(ask), ...names(ask), ...allocations(ask) };
}

function providers(
  ask: Ask,
): Pick<
  PlacementClient,
  'findProvider' | 'getProvider' | 'listTree' | 'createProvider' | 'deleteProvider'
> {
  const path = '/resource_providers';
  return {
    async findProvider(name, call) {
      const answer = await ask({ method: 'GET', path, query: { name } }, call);
      return answer.read(parseProviders)[0];
    },
    getProvider: (uuid, call) => find(ask, { path: providerPath(uuid), call }, parseProvider),
    async listTree(uuid, call) {
      const answer = await ask({ method: 'GET', path, query: { in_tree: uuid } }, call);
      return answer.read(parseProviders);
    },
    async createProvider({ uuid, name, parentUuid }, call) {
      const parent = parentUuid === null ? {} : { parent_provider_uuid: parentUuid };
      return write(
        ask,
        { method: 'POST', path, body: { uuid, name, ...parent }, call },
        parseProvider,
      );
    },
    deleteProvider: (uuid, call) =>
      write(ask, { method: 'DELETE', path: providerPath(uuid), call }, nothing),
  };
}

function inventories(
  ask: Ask,
): Pick<
  PlacementClient,
  'getInventories' | 'putInventories' | 'putInventory' | 'getTraits' | 'putTraits' | 'getUsages'
> {
  return {
    getInventories: (uuid, call) =>
      find(ask, { path: providerPath(uuid, '/inventories'), call }, parseInventories),
    putInventories(uuid, { generation, byClass }, call) {
      const made = Object.entries(byClass).map(([name, each]) => [name, inventoryBody(each)]);
      const body = {
        resource_provider_generation: generation,
        inventories: Object.fromEntries(made),
      };
      const path = providerPath(uuid, '/inventories');
      return write(ask, { method: 'PUT', path, body, call }, parseInventories);
    },
    putInventory(uuid, { generation, resourceClass, ...inventory }, call) {
      const path = providerPath(uuid, `/inventories/${encodeURIComponent(resourceClass)}`);
      const body = { resource_provider_generation: generation, ...inventoryBody(inventory) };
      return write(ask, { method: 'PUT', path, body, call }, parseOneInventory);
    },
    getTraits: (uuid, call) =>
      find(ask, { path: providerPath(uuid, '/traits'), call }, parseTraits),
    putTraits(uuid, { generation, traits }, call) {
      const body = { resource_provider_generation: generation, traits };
      return write(
        ask,
        { method: 'PUT', path: providerPath(uuid, '/traits'), body, call },
        parseTraits,
      );
    },
    getUsages: (uuid, call) =>
      find(ask, { path: providerPath(uuid, '/usages'), call }, parseUsages),
  };
}

function names(ask: Ask): Pick<PlacementClient, 'ensureTrait' | 'ensureResourceClass'> {
  /** Standard ones cannot be made; asking for one that this Placement does not know yet is an error that names it. */
  const ensure = async (kind: string, name: string, call?: PlacementCall): Promise<void> => {
    const method = name.startsWith('CUSTOM_') ? 'PUT' : 'GET';
    await ask({ method, path: `/${kind}/${encodeURIComponent(name)}` }, call);
  };
  return {
    ensureTrait: (name, call) => ensure('traits', name, call),
    ensureResourceClass: (name, call) => ensure('resource_classes', name, call),
  };
}

function allocations(
  ask: Ask,
): Pick<
  PlacementClient,
  'getProviderAllocations' | 'getAllocations' | 'postAllocations' | 'deleteAllocations'
> {
  const pathOf = (consumerId: string): string => `/allocations/${encodeURIComponent(consumerId)}`;
  return {
    getProviderAllocations: (uuid, call) =>
      find(ask, { path: providerPath(uuid, '/allocations'), call }, parseProviderAllocations),
    async getAllocations(consumerId, call) {
      const answer = await ask({ method: 'GET', path: pathOf(consumerId) }, call);
      return answer.read((body) => parseAllocations(consumerId, body));
    },
    postAllocations(consumers, call) {
      const isTyped = consumers.every(({ consumerType }) => consumerType !== null);
      const microversion = isTyped ? placementMicroversion : untypedMicroversion;
      const body = allocationsBody(consumers);
      return write(
        ask,
        { method: 'POST', path: '/allocations', body, microversion, call },
        nothing,
      );
    },
    async deleteAllocations(consumerId, call) {
      const path = pathOf(consumerId);
      return (await ask({ method: 'DELETE', path, accept: [404] }, call)).status !== 404;
    },
  };
}

function nothing(): undefined {
  return undefined;
}

function providerPath(uuid: string, more = ''): string {
  return `/resource_providers/${encodeURIComponent(uuid)}${more}`;
}

async function find<Value>(
  ask: Ask,
  { path, call }: { path: string; call: PlacementCall | undefined },
  parse: (body: unknown) => Value,
): Promise<Value | undefined> {
  const answer = await ask({ method: 'GET', path, accept: [404] }, call);
  return answer.status === 404 ? undefined : answer.read(parse);
}

interface Write extends Pick<ServiceRequest, 'method' | 'path' | 'body'> {
  readonly microversion?: string;
  readonly call: PlacementCall | undefined;
}

async function write<Value>(
  ask: Ask,
  { call, ...request }: Write,
  parse: (body: unknown) => Value,
): Promise<WriteOutcome<Value>> {
  const answer = await ask({ ...request, accept: [404, 409] }, call);
  if (answer.status === 404) return { kind: 'gone' };
  if (answer.status !== 409) return { kind: 'written', value: answer.read(parse) };
  const { code, detail } = toError(answer, { service: 'Placement', ...request });
  return { kind: 'conflict', code, reason: detail ?? 'it gave no reason' };
}

interface Asked extends Answer {
  /** @throws {OpenStackError} `malformed` */
  read<Value>(parse: (body: unknown) => Value): Value;
}

interface Question extends Pick<ServiceRequest, 'method' | 'path' | 'query' | 'body' | 'accept'> {
  readonly microversion?: string;
}

type Ask = (question: Question, call: PlacementCall | undefined) => Promise<Asked>;

function makeAsk(session: Session): Ask {
  return async ({ microversion = placementMicroversion, ...question }, call = {}) => {
    const request: ServiceRequest = {
      type: 'placement',
      service: 'Placement',
      headers: { 'openstack-api-version': `placement ${microversion}` },
      ...question,
      ...call,
    };
    const answer = await session.request(request);
    return {
      ...answer,
      read(parse) {
        try {
          return parse(answer.body);
        } catch (error) {
          if (error instanceof ShapeError) throw malformed(request, error);
          throw error;
        }
      },
    };
  };
}

/** Placement's JSON and ours. @see https://docs.openstack.org/api-ref/placement/ */
import { asList, asNumber, asObject, asText, asTexts, textOrNull } from './reader.ts';
import type { JsonObject } from './reader.ts';

export interface ResourceProvider {
  readonly uuid: string;
  readonly name: string;
  readonly generation: number;
  readonly parentUuid: string | null;
  readonly rootUuid: string;
}

export interface Inventory {
  readonly total: number;
  readonly reserved: number;
  readonly minUnit: number;
  readonly maxUnit: number;
  readonly stepSize: number;
  readonly allocationRatio: number;
}

export interface Inventories {
  /** Of the provider, as it was when this was read. */
  readonly generation: number;
  readonly byClass: Readonly<Record<string, Inventory>>;
}

export interface Traits {
  readonly generation: number;
  readonly traits: readonly string[];
}

/** Units of each resource class. */
export type Resources = Readonly<Record<string, number>>;

export interface ConsumerAllocations {
  readonly consumerId: string;
  readonly consumerGeneration: number;
  /** `unknown` for what was written without one, such as Nova's. */
  readonly consumerType: string;
  readonly projectId: string;
  readonly userId: string;
  readonly byProvider: Readonly<Record<string, Resources>>;
}

export interface NewAllocations {
  readonly consumerId: string;
  /** Null: it must hold nothing yet. */
  readonly consumerGeneration: number | null;
  /** Null for a consumer that was written without one; of one request all or none. */
  readonly consumerType: string | null;
  readonly projectId: string;
  readonly userId: string;
  /** Empty: takes everything away. */
  readonly byProvider: Readonly<Record<string, Resources>>;
}

export function parseProvider(body: unknown): ResourceProvider {
  const provider = asObject(body, 'the provider');
  const uuid = asText(provider['uuid'], 'uuid');
  return {
    uuid,
    name: asText(provider['name'], 'name'),
    generation: asNumber(provider['generation'], 'generation'),
    parentUuid: textOrNull(provider['parent_provider_uuid'], 'parent_provider_uuid'),
    rootUuid: textOrNull(provider['root_provider_uuid'], 'root_provider_uuid') ?? uuid,
  };
}

export function parseProviders(body: unknown): ResourceProvider[] {
  const list = asObject(body, 'the answer')['resource_providers'];
  return asList(list, 'resource_providers').map(parseProvider);
}

export function parseInventories(body: unknown): Inventories {
  const answer = asObject(body, 'the answer');
  const inventories = asObject(answer['inventories'], 'inventories');
  return {
    generation: generationOf(answer),
    byClass: mapValues(inventories, (value, name) => parseInventory(value, `inventories.${name}`)),
  };
}

/** Of one class, as PUT answers it. */
export function parseOneInventory(body: unknown): { generation: number } & Inventory {
  const answer = asObject(body, 'the answer');
  return { generation: generationOf(answer), ...parseInventory(answer, 'the inventory') };
}

function parseInventory(value: unknown, place: string): Inventory {
  const inventory = asObject(value, place);
  const number = (key: string): number => asNumber(inventory[key], `${place}.${key}`);
  return {
    total: number('total'),
    reserved: number('reserved'),
    minUnit: number('min_unit'),
    maxUnit: number('max_unit'),
    stepSize: number('step_size'),
    allocationRatio: number('allocation_ratio'),
  };
}

export function inventoryBody(inventory: Inventory): object {
  return {
    total: inventory.total,
    reserved: inventory.reserved,
    min_unit: inventory.minUnit,
    max_unit: inventory.maxUnit,
    step_size: inventory.stepSize,
    allocation_ratio: inventory.allocationRatio,
  };
}

export function parseTraits(body: unknown): Traits {
  const answer = asObject(body, 'the answer');
  return { generation: generationOf(answer), traits: asTexts(answer['traits'], 'traits') };
}

export function parseUsages(body: unknown): Resources {
  return toResources(asObject(body, 'the answer')['usages'], 'usages');
}

/** Of a provider: what each consumer holds of it. */
export function parseProviderAllocations(body: unknown): ReadonlyMap<string, Resources> {
  const allocations = asObject(asObject(body, 'the answer')['allocations'], 'allocations');
  return new Map(
    Object.entries(allocations).map(([consumer, value]) => {
      const place = `allocations.${consumer}`;
      return [consumer, toResources(asObject(value, place)['resources'], `${place}.resources`)];
    }),
  );
}

/** Undefined: the consumer holds nothing, and Placement knows nothing else of it. */
export function parseAllocations(
  consumerId: string,
  body: unknown,
): ConsumerAllocations | undefined {
  const answer = asObject(body, 'the answer');
  const allocations = asObject(answer['allocations'], 'allocations');
  if (Object.keys(allocations).length === 0) return undefined;
  return {
    consumerId,
    consumerGeneration: asNumber(answer['consumer_generation'], 'consumer_generation'),
    consumerType: textOrNull(answer['consumer_type'], 'consumer_type') ?? 'unknown',
    projectId: asText(answer['project_id'], 'project_id'),
    userId: asText(answer['user_id'], 'user_id'),
    byProvider: mapValues(allocations, (value, provider) => {
      const place = `allocations.${provider}`;
      return toResources(asObject(value, place)['resources'], `${place}.resources`);
    }),
  };
}

/** Of POST /allocations. */
export function allocationsBody(consumers: readonly NewAllocations[]): object {
  return Object.fromEntries(
    consumers.map((consumer) => [
      consumer.consumerId,
      {
        allocations: mapValues(consumer.byProvider, (resources) => ({ resources })),
        project_id: consumer.projectId,
        user_id: consumer.userId,
        consumer_generation: consumer.consumerGeneration,
        ...(consumer.consumerType === null ? {} : { consumer_type: consumer.consumerType }),
      },
    ]),
  );
}

function generationOf(answer: JsonObject): number {
  return asNumber(answer['resource_provider_generation'], 'resource_provider_generation');
}

function toResources(value: unknown, place: string): Resources {
  return mapValues(asObject(value, place), (units, name) => asNumber(units, `${place}.${name}`));
}

function mapValues<Given, Made>(
  record: Readonly<Record<string, Given>>,
  make: (value: Given, key: string) => Made,
): Record<string, Made> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, make(value, key)]));
}

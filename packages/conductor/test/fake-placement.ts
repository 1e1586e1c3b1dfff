/** For tests of faults: a small Placement over HTTP, in memory, that can be made to fail. The real one: test/openstack. */
import { makePlacement, type PlacementClient } from '@cyborg/openstack/placement';
import type { CallLimits } from '@cyborg/openstack/limits';
import {
  json,
  openTestSession,
  startTestServices,
  type Handler,
  type Seen,
} from '@cyborg/openstack/test-services';

export interface TestProvider {
  readonly uuid: string;
  readonly name: string;
  readonly parent: string | null;
  generation: number;
  inventories: Record<string, Units>;
  traits: readonly string[];
  /** Something is allocated: it cannot go. */
  isUsed: boolean;
}

/** In the place of an answer, or after one that nobody hears when it returns `lost`. */
export type Fault = (
  seen: Seen,
) => Handler | 'lost' | undefined | Promise<Handler | 'lost' | undefined>;

export interface TestPlacement extends AsyncDisposable {
  /** Of its Keystone, whose catalogue names the rest. */
  readonly url: string;
  readonly client: PlacementClient;
  readonly providers: Map<string, TestProvider>;
  /** Method and path of every request, without `/placement`. */
  readonly asked: string[];
  readonly writes: () => string[];
  fault: Fault | undefined;
  readonly addNode: (name: string) => TestProvider;
}

export async function startTestPlacement(limits: Partial<CallLimits> = {}): Promise<TestPlacement> {
  const providers = new Map<string, TestProvider>();
  const add = (given: Pick<TestProvider, 'uuid' | 'name' | 'parent'>): TestProvider => {
    const made = { ...given, generation: 0, inventories: {}, traits: [], isUsed: false };
    providers.set(made.uuid, made);
    return made;
  };
  const asked: string[] = [];
  const services = await startTestServices((seen, response, message) => {
    const path = seen.path.replace(/^\/placement/, '');
    asked.push(`${seen.method} ${path.replace(/\?.*/, '')}`);
    void (async () => {
      const fault = await testPlacement.fault?.({ ...seen, path });
      if (typeof fault === 'function') return fault(seen, response, message);
      const answer = answerOf({ ...seen, path }, { providers, add });
      if (fault === 'lost') return void message.socket.destroy();
      return answer(seen, response, message);
    })();
  });
  const session = openTestSession(services, { limits: { attemptsMax: 1, ...limits } });
  const testPlacement: TestPlacement = {
    url: services.url,
    client: makePlacement(session),
    providers,
    asked,
    writes: () => asked.filter((one) => !one.startsWith('GET ')),
    fault: undefined,
    addNode: (name) => add({ uuid: crypto.randomUUID(), name, parent: null }),
    async [Symbol.asyncDispose]() {
      session[Symbol.dispose]();
      await services[Symbol.asyncDispose]();
    },
  };
  return testPlacement;
}

/** What our own client sends: written by its types, so not checked here again. */
interface Given extends Units {
  readonly uuid: string;
  readonly name: string;
  readonly parent_provider_uuid?: string;
  readonly resource_provider_generation: number;
  readonly inventories: Record<string, Units>;
  readonly traits: readonly string[];
}

interface Units {
  readonly total: number;
  readonly reserved: number;
}

interface State {
  readonly providers: Map<string, TestProvider>;
  readonly add: (given: Pick<TestProvider, 'uuid' | 'name' | 'parent'>) => TestProvider;
}

const missing = json(404, { errors: [{ status: 404, code: 'placement.undefined_code' }] });
const conflict = (code: string): Handler =>
  json(409, { errors: [{ status: 409, code: `placement.${code}`, detail: `${code}.` }] });

function answerOf({ method, path, body }: Seen, state: State): Handler {
  const url = new URL(path, 'http://placement');
  const [kind, id, part, name] = url.pathname.split('/').slice(1);
  if (kind === 'traits' || kind === 'resource_classes') {
    return method === 'GET' && id === 'NO_SUCH' ? missing : json(204, undefined);
  }
  if (kind !== 'resource_providers') return missing;
  const given: Given = body === '' ? {} : JSON.parse(body);
  if (id === undefined) return method === 'POST' ? create(given, state) : list(url, state);
  const provider = state.providers.get(id);
  if (provider === undefined) return missing;
  if (part === undefined)
    return method === 'DELETE' ? remove(provider, state) : json(200, toWire(provider));
  if (method === 'PUT') return write(provider, { part, name, given });
  return json(200, partOf(provider, part));
}

function create(given: Given, state: State): Handler {
  const taken = [...state.providers.values()].some(
    ({ uuid, name }) => uuid === given.uuid || name === given.name,
  );
  if (taken) return conflict('duplicate_name');
  const made = state.add({
    uuid: given.uuid,
    name: given.name,
    parent: given.parent_provider_uuid ?? null,
  });
  return json(200, toWire(made));
}

function list({ searchParams }: URL, state: State): Handler {
  const all = [...state.providers.values()];
  const tree = state.providers.get(searchParams.get('in_tree') ?? '');
  const found = searchParams.has('in_tree')
    ? all.filter((each) => tree !== undefined && rootOf(each) === rootOf(tree))
    : all.filter(({ name }) => name === searchParams.get('name'));
  return json(200, { resource_providers: found.map((each) => toWire(each)) });
}

function rootOf({ uuid, parent }: TestProvider): string {
  return parent ?? uuid;
}

function remove(provider: TestProvider, { providers }: State): Handler {
  if (provider.isUsed) return conflict('resource_provider.inuse');
  providers.delete(provider.uuid);
  return json(204, undefined);
}

function write(
  provider: TestProvider,
  { part, name, given }: { part: string; name: string | undefined; given: Given },
): Handler {
  if (given.resource_provider_generation !== provider.generation)
    return conflict('concurrent_update');
  provider.generation += 1;
  if (part === 'traits') provider.traits = given.traits;
  else if (name === undefined) provider.inventories = given.inventories;
  else provider.inventories = { ...provider.inventories, [name]: given };
  const answer = partOf(provider, part);
  const one =
    name === undefined
      ? answer
      : { ...answer, ...given, resource_provider_generation: provider.generation };
  return json(200, one);
}

function partOf(provider: TestProvider, part: string): object {
  const { generation, inventories, traits } = provider;
  return part === 'traits'
    ? { resource_provider_generation: generation, traits }
    : { resource_provider_generation: generation, inventories };
}

function toWire(provider: TestProvider): object {
  const { uuid, name, generation, parent } = provider;
  return {
    uuid,
    name,
    generation,
    parent_provider_uuid: parent,
    root_provider_uuid: rootOf(provider),
  };
}

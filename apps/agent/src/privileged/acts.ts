/**
 * What a driver cannot do itself and asks of the agent. Checked here, done in a process of its own that may be abandoned:
 * the agent itself touches no device.
 */
import type { TakenFunction } from '@cyborg/api-spec/agent/desired';
import type { AgentMethod, AgentResult, Roots } from '@cyborg/driver-sdk/protocol';
import type { Clock } from '@cyborg/service/clock';
import type { Backend, KnownFunction } from '../driver-host/backend.ts';
import { DriverCallError } from '@cyborg/driver-host/driver-error';
import type { HostPreparation } from '../host-needs/host-preparation.ts';
import { messageOf } from '../hypervisors/node-error.ts';
import { agentDefaults } from '../limits.ts';
import type { Log } from '../log.ts';
import type { ActStep } from '../steps.ts';
import type { HeldList } from '../server-link/held-list.ts';
import type { Lease } from '../server-link/lease.ts';
import type { ActDone, ActOrder, ActQuestion } from './act-order.ts';
import { ActProcesses, FailedAct } from './act-process.ts';
import { Bindings } from './bindings.ts';
import { Looks } from './looks.ts';
import { OpenNodes } from './open-nodes.ts';
import type { Permits } from './permits.ts';
import { SerialNumbers } from './serial-numbers.ts';
import { Turns } from './turns.ts';

export interface PrivilegedActsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly simulated: boolean;
  readonly roots: Roots;
  /** Where what was bound is noted. */
  readonly stateDir: string;
  readonly permits: Permits;
  readonly lease: Pick<Lease, 'isHeld'>;
  /** What the ledger says is taken; absent where no driver asks what was bound. */
  readonly held?: Pick<HeldList, 'taken'>;
  readonly preparation: Pick<HostPreparation, 'loadModule'>;
  /** How long one act may take; the agent's own limit when absent. */
  readonly timeoutMs?: number;
}

/** After the host was started anew: what the notes say was done before. */
export type AgainMethod = 'bindAgain' | 'makeVfsAgain';
/** With what no driver may ask for. */
/** After an act that died half-way. */
type MendMethod = 'probeAgain' | 'lengthenAgain';
type OwnMethod = AgentMethod | MendMethod | 'adopt' | AgainMethod;
type Params = Readonly<Record<string, unknown>>;

/** What an act must know of the backend for which it is done. */
export interface Asker {
  readonly wanted: { readonly id: string; readonly name: string };
  addresses(): readonly string[];
  acceleratorsAt(address: string): readonly string[];
}

const modulePattern = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/;
const addressPattern = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;
/** Acts that need no order: they take nothing from anybody, which the act itself makes sure of. */
const withoutOrder: ReadonlySet<AgentMethod> = new Set<AgentMethod>(['restore', 'setVfCount']);
/** The look just before the act decides alone: these come when an earlier inventory may say what was true before. */
const withoutInventoryUse: ReadonlySet<AgentMethod> = new Set<AgentMethod>([
  'restore',
  'reset',
  'setVfCount',
  'removeMdev',
]);

export class PrivilegedActs {
  readonly #deps: PrivilegedActsDeps;
  readonly #openNodes: OpenNodes;
  readonly #serialNumbers: SerialNumbers;
  readonly #bindings: Bindings;
  readonly #processes = new ActProcesses();
  readonly #turns = new Turns();
  /** Cards that have virtual functions without drivers, as long as nobody here changes their number. */
  readonly #divided = new Set<string>();
  #adopting: Promise<void> | undefined;
  /** Taken by the ledger's word, and not noted here. */
  #unnoted: readonly TakenFunction[] = [];

  constructor(deps: PrivilegedActsDeps) {
    this.#deps = deps;
    const looks = new Looks(deps);
    this.#openNodes = new OpenNodes({ ...deps, looks, own: () => this.#processes.running() });
    this.#serialNumbers = new SerialNumbers({ ...deps, looks });
    this.#bindings = new Bindings(deps.stateDir, deps.log);
  }

  /** @throws DriverCallError with the code that the driver is told. */
  async do(method: AgentMethod, params: Params, backend: Backend): Promise<object> {
    const { log, simulated } = this.#deps;
    // These change nothing and say little: they need no lease and no order.
    if (method === 'openNodes') {
      return await this.#openNodes.find(backend.wanted.id, toTexts(params['nodes']));
    }
    if (method === 'serialNumbers') {
      return await this.#serialNumbers.read(backend.wanted.id, toTexts(params['addresses']));
    }
    if (method === 'listBound') return await this.#listBound(backend);
    if (method === 'loadModule') return await this.#loadModule(params, backend);
    const functions = await this.#allowed(method, params, backend);
    if (simulated) return {};
    this.#openNodes.warm();
    using _turn = await this.#turns.take(turnsOf(String(params['address']), functions));
    // An act before it may have hung for longer than lease and order last.
    await this.#allowed(method, params, backend);
    if (method === 'setVfCount') this.#divided.delete(String(params['address']));
    const done = await this.#inProcess(method, params, backend);
    log.info({ method, params, result: done.result }, 'did a privileged act for a driver');
    return done.result;
  }

  /** What the notes say was done before: it needs no lease and no order. @throws DriverCallError */
  async again(method: AgainMethod, params: Params, asker: Asker): Promise<void> {
    if (this.#deps.simulated) return;
    using _turn = await this.#turns.take(asker.addresses());
    await this.#inProcess(method, params, asker);
  }

  /** By host policy alone: it takes nothing from anybody. */
  async #loadModule(params: Params, { wanted }: Backend): Promise<object> {
    if (!this.#deps.lease.isHeld()) throw noLease();
    const module = String(params['module']);
    if (!modulePattern.test(module)) {
      throw new DriverCallError('invalid', `${JSON.stringify(module)} is no name of a module.`);
    }
    const step = await this.#deps.preparation.loadModule(module, wanted.id);
    if (step === undefined) return {};
    throw new DriverCallError('unsupported', `Host policy: ${step}.`);
  }

  /** Each look at the cards begins with it. */
  async #listBound(backend: Backend): Promise<AgentResult<'listBound'>> {
    const { simulated, lease } = this.#deps;
    if (simulated) return { functions: [] };
    await this.#adopted(backend);
    if (lease.isHeld()) await this.#mend(backend);
    const { id } = backend.wanted;
    const bindings = await this.#bindings.list();
    return {
      functions: bindings.map(
        ({ address, driver, adopted, backend: of, accelerator = adopted }) => ({
          address,
          kernel_driver: driver,
          ...(typeof accelerator === 'string' && of === id && { accelerator }),
        }),
      ),
    };
  }

  /** Resolves when what an agent before this one bound is known, by its notes or else by the ledger: once in a run. */
  async #adopted(backend: Backend): Promise<void> {
    this.#adopting ??= this.#adopt(backend);
    try {
      await this.#adopting;
    } catch (error) {
      this.#adopting = undefined;
      throw error;
    }
  }

  async #adopt(backend: Backend): Promise<void> {
    const { held, log } = this.#deps;
    if (held === undefined) return;
    const taken = await held.taken(agentDefaults.takenWaitMsMax);
    if (taken === undefined) {
      throw new DriverCallError(
        'transient',
        'What the ledger says is taken on this host could not be read yet: the server does not answer.',
      );
    }
    const noted = new Set((await this.#bindings.list()).map(({ address }) => address));
    this.#unnoted = taken.filter((one) => !noted.has(one.address));
    const addresses = this.#unnoted.map(({ address }) => address);
    const [address] = addresses;
    if (address === undefined) return;
    using _turn = await this.#turns.take(addresses);
    const { changed = [] } = await this.#inProcess('adopt', { address }, backend);
    if (changed.length === 0) return;
    const functions = changed.map(({ address }) => address);
    log.warn({ functions }, 'an agent before this one bound these for guests, as the ledger says');
  }

  /** Where an act died half-way. What cannot be done now is tried with the next look. */
  async #mend(backend: Backend): Promise<void> {
    for (const { address } of await this.#bindings.listUnprobed()) {
      if (!this.#divided.has(address)) await this.#mendOne('probeAgain', address, backend);
    }
    for (const { address } of await this.#bindings.listShortened()) {
      await this.#mendOne('lengthenAgain', address, backend);
    }
  }

  async #mendOne(method: MendMethod, address: string, backend: Backend): Promise<void> {
    const { log } = this.#deps;
    if (this.#turns.isTaken(address)) return;
    try {
      using _turn = await this.#turns.take([address]);
      const { probed, lengthened } = await this.#inProcess(method, { address }, backend);
      if ((probed ?? lengthened) === undefined) this.#divided.add(address);
      else log.info({ address }, mended[method]);
    } catch (error) {
      log.warn({ address, reason: messageOf(error) }, unmended[method]);
    }
  }

  async #allowed(method: AgentMethod, params: Params, backend: Backend): Promise<KnownFunction[]> {
    const functions = await this.#check(method, params, backend);
    if (!this.#deps.lease.isHeld()) throw noLease();
    return functions;
  }

  async #check(method: AgentMethod, params: Params, backend: Backend): Promise<KnownFunction[]> {
    const address = String(params['address']);
    if (!addressPattern.test(address)) {
      throw new DriverCallError('invalid', `${JSON.stringify(address)} is no PCI address.`);
    }
    const functions = backend.functionsAt(address);
    if (functions.length === 0 && !(await this.#isBoundFor(method, address, backend))) {
      const name = backend.wanted.name;
      if (backend.inventory === undefined) {
        const message = `${name} has not been looked at since this agent was started.`;
        throw new DriverCallError('transient', message);
      }
      throw new DriverCallError('invalid', `${address} is not in the inventory of ${name}.`);
    }
    const used = functions.find(({ hostUse }) => hostUse !== null);
    if (used !== undefined && !withoutInventoryUse.has(method)) {
      throw new DriverCallError('host-use', `The host uses ${address}: ${used.hostUse}`);
    }
    if (!withoutOrder.has(method) && !this.#isOrdered(address, backend)) {
      throw new DriverCallError('invalid', `There is no order about ${address} that allows this.`);
    }
    return functions;
  }

  /** What a backend had bound it may give back, also when its rules list it no more. */
  async #isBoundFor(method: AgentMethod, address: string, { wanted }: Backend): Promise<boolean> {
    if (method !== 'restore') return false;
    const bindings = await this.#bindings.list();
    return bindings.some((one) => one.address === address && one.backend === wanted.id);
  }

  /** An order about an accelerator there has passed the fence and is being carried out. */
  #isOrdered(address: string, backend: Asker): boolean {
    const { permits } = this.#deps;
    return backend.acceleratorsAt(address).some((key) => permits.isGranted(backend.wanted.id, key));
  }

  async #inProcess(method: OwnMethod, params: Params, backend: Asker): Promise<ActDone> {
    const { clock, log, timeoutMs = agentDefaults.privilegedActTimeoutMs } = this.#deps;
    const order = await this.#toOrder(method, params, backend);
    const address = String(params['address']);
    const asker = `${method} ${address}`;
    const tell = (step: ActStep): void =>
      log.debug({ method, step, address }, 'begins a step of an act');
    try {
      const done = await this.#processes.run(order, {
        clock,
        timeoutMs,
        answer: async (question) => await this.#answer(question, { asker, backend }),
        onStep: tell,
      });
      if (method === 'restore') tell('settle');
      await this.#bindings.apply(done);
      return done;
    } catch (error) {
      if (error instanceof FailedAct) await this.#bindings.apply(error.changes);
      throw error;
    }
  }

  async #toOrder(method: OwnMethod, params: Params, backend: Asker): Promise<ActOrder> {
    const { id, name } = backend.wanted;
    return {
      method,
      params,
      roots: this.#deps.roots,
      backend: { id, name },
      inventory: backend.addresses(),
      accelerators: backend.acceleratorsAt(String(params['address'])),
      bindings: await this.#bindings.list(),
      unprobed: await this.#bindings.listUnprobed(),
      vfs: await this.#bindings.listVfs(),
      shortened: await this.#bindings.listShortened(),
      ordered: backend.addresses().filter((at) => this.#isOrdered(at, backend)),
      taken: method === 'adopt' ? this.#unnoted : [],
      isOrdered: this.#isOrdered(String(params['address']), backend),
    };
  }

  async #answer(
    question: ActQuestion,
    { asker, backend }: { readonly asker: string; readonly backend: Asker },
  ): Promise<unknown> {
    if ('nodes' in question) return await this.#openNodes.find(asker, question.nodes);
    if ('load' in question) {
      return await this.#deps.preparation.loadModule(question.load, backend.wanted.id);
    }
    await this.#bindings.apply('keep' in question ? { changed: question.keep } : question);
    return undefined;
  }
}

const mended = {
  probeAgain: 'new virtual functions get their kernel drivers again',
  lengthenAgain: 'the kernel knows all of its reset methods again',
} as const satisfies Record<MendMethod, string>;
const unmended = {
  probeAgain: 'new virtual functions get no kernel drivers for now',
  lengthenAgain: 'the kernel knows only some of its reset methods for now',
} as const satisfies Record<MendMethod, string>;

function noLease(): DriverCallError {
  return new DriverCallError('transient', 'The agent does not hold the lease of this host.');
}

/** One act at a time about a function, its IOMMU group, and its card. */
function turnsOf(address: string, functions: readonly KnownFunction[]): string[] {
  const shared = functions.flatMap(({ card, iommuGroup }) => [
    `card ${card}`,
    ...(iommuGroup === null ? [] : [`group ${iommuGroup}`]),
  ]);
  return [...new Set([address, ...shared])];
}

/** As checked against the protocol. */
function toTexts(list: unknown): string[] {
  return Array.isArray(list) ? list.map(String) : [];
}

/**
 * How a driver is written: `defineDriver({ id, version, kinds })`, each kind made with `defineKind`, then `serve(driver)`.
 * drivers/generic is the example to copy.
 */
import type { XStatic } from 'typebox/schema';
import { findProblem, withDefaults, type JsonSchema } from './json-schema.ts';
import { DriverError } from './errors.ts';
import type {
  AgentMethod,
  AgentParams,
  AgentResult,
  AttachPlan,
  Capability,
  DriverParams,
  DriverResult,
  Health,
  Inventory,
  Roots,
} from './protocol.ts';

/** What a driver knows of where it runs; the same for all its backends. */
export interface DriverContext {
  readonly host: { readonly name: string; readonly node_name: string };
  /** Where the kernel's trees are. Use these, never `/sys`, `/proc` or `/dev` as such. */
  readonly roots: Roots;
  /** The hardware is a recorded tree: hold its content alone as evidence, and let every act succeed. */
  readonly simulated: boolean;
  /** A folder of the driver's own, kept across restarts; null where it may not write. */
  readonly stateDir: string | null;
  /** Goes to the agent's log; at most 4,096 characters of the message are kept. */
  readonly log: (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void;
}

/** A request's parameters without the backend, which is known. */
export type AgentQuestionOf<M extends AgentMethod> = Omit<AgentParams<M>, 'backend'>;

/** One call for one backend. */
export interface BackendContext<Config> extends DriverContext {
  readonly backend: string;
  /** The backend's configuration: checked, and with defaults filled in. */
  readonly config: Config;
  /** Aborted when the agent cancels the request, or ends. */
  readonly signal: AbortSignal;
  /**
   * Asks the agent for what the driver may not do or see itself (`agentRequests` in protocol.ts), for this backend.
   * @throws DriverError `unsupported` when the agent does not know the request (as when there is none, in
   * `cyborg-agent discover`), `transient` when it does not answer, `invalid` and `host-use` when it refuses.
   */
  readonly ask: <M extends AgentMethod>(
    method: M,
    params: AgentQuestionOf<M>,
  ) => Promise<AgentResult<M>>;
  /** Tells the agent that `discover` would answer something new. */
  readonly inventoryChanged: () => void;
  /** Tells the agent that `health` would answer something new. */
  readonly healthChanged: () => void;
}

export type PrepareOrder = Omit<DriverParams<'prepare'>, 'backend'>;
export type ReleaseOrder = Omit<DriverParams<'release'>, 'backend'>;
export type CleanOrder = Omit<DriverParams<'clean'>, 'backend'>;
export type UpdateOrder = Omit<DriverParams<'update'>, 'backend'>;

type Answer<T> = T | Promise<T>;

/** Every act is idempotent: the agent repeats it after any crash, of either side. */
export interface KindHandlers<Config> {
  /**
   * Makes the host ready for a backend, or gives a backend a new configuration; with `dryRun`, only says what is needed.
   * Never reboots. Default: `ready`.
   */
  readonly install?: (
    context: BackendContext<Config>,
    options: { readonly dryRun: boolean },
  ) => Answer<DriverResult<'install'>>;
  /** Undoes `install`. Default: `ready`. */
  readonly uninstall?: (
    context: BackendContext<Config>,
    options: { readonly dryRun: boolean },
  ) => Answer<DriverResult<'uninstall'>>;
  /** The whole inventory of the backend, also when nothing changed: the agent compares. */
  readonly discover: (context: BackendContext<Config>) => Answer<Inventory>;
  /**
   * Makes one accelerator ready for one attachment and says how to plug it. Preparing what is already prepared
   * returns the same plan.
   * @throws DriverError `gone`, `transient`, `unsupported`, `host-use`.
   */
  readonly prepare: (context: BackendContext<Config>, order: PrepareOrder) => Answer<AttachPlan>;
  /** Undoes `prepare`; may run in another process than it did, and for what is no longer there. */
  readonly release: (context: BackendContext<Config>, order: ReleaseOrder) => Answer<void>;
  /** Removes what the last holder left behind. The answer is the evidence: one sentence for each thing done. */
  readonly clean: (context: BackendContext<Config>, order: CleanOrder) => Answer<readonly string[]>;
  /**
   * Writes firmware or a program image, whose bytes the SDK has checked, into a card of which nothing is prepared; `tell`
   * says how far it is, in percent. Begun again after any crash, from the start. Leave it out when the kind cannot.
   * @throws DriverError `unsupported`, `invalid` or `host-use` before the card was touched; `transient` to begin again.
   * Anything else leaves the card out until another image was written.
   */
  readonly update?: (
    context: BackendContext<Config>,
    order: UpdateOrder,
    tell: (percent: number) => void,
  ) => Answer<void>;
  readonly stats?: (context: BackendContext<Config>) => Answer<Record<string, unknown>>;
  /** Health by accelerator key. */
  readonly health?: (context: BackendContext<Config>) => Answer<Record<string, Health>>;
}

export interface KindDefinition<Schema extends JsonSchema> extends KindHandlers<ConfigOf<Schema>> {
  readonly title: string;
  /** JSON Schema of the configuration; give every optional key a `default` and a `description`. */
  readonly config: Schema;
  /** Top-level keys that a project manager may set; the others are an admin's. */
  readonly delegable: readonly (keyof Schema['properties'] & string)[];
}

type Properties<Schema> = Schema extends { readonly properties: infer P } ? P : object;
type Defaulted<P> = {
  [K in keyof P as P[K] extends { readonly default: unknown } ? K : never]: XStatic<P[K]>;
};

/** The TypeScript type of a configuration: what the schema says, with every key present that has a default. */
export type ConfigOf<Schema> = XStatic<Schema> & Defaulted<Properties<Schema>>;

/** A kind of backend with the type of its configuration taken away: what `serve` works with. */
export interface Kind extends KindHandlers<unknown> {
  readonly title: string;
  readonly config: JsonSchema;
  readonly delegable: readonly string[];
  /** The configuration with defaults. @throws DriverError `invalid`, naming the key and the value. */
  readonly parseConfig: (config: unknown) => unknown;
}

export interface Driver {
  readonly id: string;
  /** The version of the driver's package. */
  readonly version: string;
  readonly kinds: Readonly<Record<string, Kind>>;
  /** Called before the process ends in good order. */
  readonly close?: () => Promise<void> | void;
}

/** One kind of backend. The handlers' `config` has the type that the schema describes. */
export function defineKind<const Schema extends JsonSchema>(kind: KindDefinition<Schema>): Kind {
  const parseConfig = (config: unknown): ConfigOf<Schema> => {
    const filled = withDefaults(kind.config, config);
    const problem = findProblem(kind.config, filled, 'config');
    if (problem !== undefined) throw new DriverError('invalid', problem);
    return filled as ConfigOf<Schema>; // the schema was just checked: this is the parser
  };
  const typed = (context: BackendContext<unknown>): BackendContext<ConfigOf<Schema>> =>
    context as BackendContext<ConfigOf<Schema>>; // `serve` hands over what parseConfig returned
  const { install, uninstall, update, stats, health } = kind;
  return {
    title: kind.title,
    config: kind.config,
    delegable: kind.delegable,
    parseConfig,
    discover: (context) => kind.discover(typed(context)),
    prepare: (context, order) => kind.prepare(typed(context), order),
    release: (context, order) => kind.release(typed(context), order),
    clean: (context, order) => kind.clean(typed(context), order),
    ...(install && { install: (context, options) => install(typed(context), options) }),
    ...(uninstall && { uninstall: (context, options) => uninstall(typed(context), options) }),
    ...(update && { update: (context, order, tell) => update(typed(context), order, tell) }),
    ...(stats && { stats: (context) => stats(typed(context)) }),
    ...(health && { health: (context) => health(typed(context)) }),
  };
}

export function defineDriver(driver: Driver): Driver {
  return driver;
}

/** The optional requests that at least one kind of the driver answers. */
export function capabilitiesOf(driver: Driver): Capability[] {
  const optional = ['update', 'stats', 'health'] as const;
  const kinds = Object.values(driver.kinds);
  return optional.filter((name) => kinds.some((kind) => kind[name] !== undefined));
}

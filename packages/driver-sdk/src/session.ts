/** Answers the agent's requests: finds the backend, calls the kind's handler. Knows nothing of the transport. */
import { Backends, type Backend } from './backends.ts';
import {
  capabilitiesOf,
  type AgentQuestionOf,
  type BackendContext,
  type Driver,
  type DriverContext,
} from './define-driver.ts';
import { DriverError } from './errors.ts';
import { checkImage } from './image-file.ts';
import { OrderGuard } from './order-guard.ts';
import { protocolVersion } from './protocol-constants.ts';
import type {
  AgentMethod,
  AgentResult,
  DriverMethod,
  DriverParams,
  DriverResult,
  InitializeParams,
  InitializeResult,
} from './protocol.ts';

/** What the session needs of the connection. */
export interface SessionPort {
  readonly log: DriverContext['log'];
  readonly notify: (
    method: 'inventoryChanged' | 'healthChanged' | 'updateProgress',
    params: { backend: string; accelerator?: string; percent?: number },
  ) => void;
  /** The answer is as the protocol says. @throws DriverError */
  readonly ask: (method: AgentMethod, params: object, signal: AbortSignal) => Promise<unknown>;
}

export type SessionHandlers = {
  readonly [M in Exclude<DriverMethod, 'shutdown'>]: (
    params: DriverParams<M>,
    signal: AbortSignal,
  ) => Promise<DriverResult<M>>;
};

/** One conversation with an agent, from `initialize` on. */
export function openSession(driver: Driver, port: SessionPort): SessionHandlers {
  const backends = new Backends(driver);
  const guard = new OrderGuard();
  let context: DriverContext | undefined;

  function requireContext(): DriverContext {
    if (context === undefined) throw new DriverError('invalid', 'initialize must come first');
    return context;
  }

  function contextFor(backend: Backend, signal: AbortSignal): BackendContext<unknown> {
    const params = { backend: backend.name };
    return {
      ...requireContext(),
      backend: backend.name,
      config: backend.config,
      signal,
      ask: async <M extends AgentMethod>(method: M, rest: AgentQuestionOf<M>) => {
        const answer = await port.ask(method, { ...rest, ...params }, signal);
        return answer as AgentResult<M>; // the port has checked it
      },
      inventoryChanged: () => port.notify('inventoryChanged', params),
      healthChanged: () => port.notify('healthChanged', params),
    };
  }

  const enter: Enter = (name, signal) => {
    const backend = backends.get(name);
    return [backend.kind, contextFor(backend, signal)];
  };

  return {
    initialize: async (params) => {
      context = toContext(params, port);
      for (const spec of params.backends) putOrSkip(backends, spec, port);
      return describe(driver, params);
    },
    install: async ({ backend: spec, dry_run: dryRun }, signal) => {
      requireContext();
      const backend = backends.parse(spec);
      const install = backend.kind.install;
      const answer = await install?.(contextFor(backend, signal), { dryRun });
      if (!dryRun) backends.put(backend);
      return answer ?? { status: 'ready' };
    },
    uninstall: async ({ backend: name, dry_run: dryRun }, signal) => {
      requireContext();
      const backend = backends.find(name);
      if (backend === undefined) return { status: 'ready' }; // already done: the agent repeats itself
      const answer = await backend.kind.uninstall?.(contextFor(backend, signal), { dryRun });
      if (!dryRun) {
        backends.remove(name);
        guard.uninstalled(name);
      }
      return answer ?? { status: 'ready' };
    },
    discover: async ({ backend }, signal) => {
      const [kind, call] = enter(backend, signal);
      const inventory = await kind.discover(call);
      guard.discovered(backend, inventory);
      return inventory;
    },
    ...actHandlers(enter, guard),
    ...optionalHandlers(driver, enter, {
      guard,
      tell: ({ backend, order: { accelerator }, percent }) => {
        const whole = Math.round(Math.min(100, Math.max(0, percent)));
        port.notify('updateProgress', { backend, accelerator, percent: whole });
      },
    }),
  };
}

interface Progress {
  readonly backend: string;
  readonly order: { readonly accelerator: string };
  readonly percent: number;
}

type Enter = (
  backend: string,
  signal: AbortSignal,
) => [kind: Backend['kind'], call: BackendContext<unknown>];

function actHandlers(
  enter: Enter,
  guard: OrderGuard,
): Pick<SessionHandlers, 'prepare' | 'release' | 'clean'> {
  return {
    prepare: async ({ backend, ...order }, signal) => {
      const [kind, call] = enter(backend, signal);
      const target = { ...order, backend };
      guard.enter(target);
      const plan = await kind.prepare(call, order);
      guard.prepared(target, order.attachment);
      return { plan };
    },
    release: async ({ backend, ...order }, signal) => {
      const [kind, call] = enter(backend, signal);
      const target = { ...order, backend };
      guard.enter(target);
      await kind.release(call, order);
      guard.released(target, order.attachment);
      return {};
    },
    clean: async ({ backend, ...order }, signal) => {
      const [kind, call] = enter(backend, signal);
      const target = { ...order, backend };
      guard.enter(target);
      const evidence = [...(await kind.clean(call, order))];
      guard.released(target);
      return { evidence };
    },
  };
}

function optionalHandlers(
  driver: Driver,
  enter: Enter,
  { guard, tell }: { readonly guard: OrderGuard; readonly tell: (progress: Progress) => void },
): Pick<SessionHandlers, 'update' | 'stats' | 'health'> {
  return {
    update: async ({ backend, ...order }, signal) => {
      const [kind, call] = enter(backend, signal);
      if (kind.update === undefined) throw notOffered(driver, 'update', backend);
      const target = { ...order, backend };
      guard.enter(target);
      guard.checkUnheld(target);
      await checkImage(order, signal);
      let highest = 0;
      await kind.update(call, order, (percent) => {
        highest = Math.max(highest, percent);
        tell({ backend, order, percent: highest });
      });
      return {};
    },
    stats: async ({ backend }, signal) => {
      const [kind, call] = enter(backend, signal);
      if (kind.stats === undefined) throw notOffered(driver, 'stats', backend);
      return await kind.stats(call);
    },
    health: async ({ backend }, signal) => {
      const [kind, call] = enter(backend, signal);
      if (kind.health === undefined) throw notOffered(driver, 'health', backend);
      return await kind.health(call);
    },
  };
}

function toContext(params: InitializeParams, port: SessionPort): DriverContext {
  return {
    host: params.host,
    roots: params.roots,
    simulated: params.simulated,
    stateDir: params.state_dir,
    log: port.log,
  };
}

/** A backend whose configuration is wrong harms itself alone: its `install` and `discover` say what is wrong. */
function putOrSkip(
  backends: Backends,
  spec: InitializeParams['backends'][number],
  port: SessionPort,
): void {
  try {
    backends.put(backends.parse(spec));
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    backends.refuse(spec.name, error);
    port.log('error', `backend ${spec.name} is not started: ${error.message}`);
  }
}

function describe(driver: Driver, params: InitializeParams): InitializeResult {
  if (!params.protocol_versions.includes(protocolVersion)) {
    const asked = params.protocol_versions.join(', ');
    throw new DriverError(
      'unsupported',
      `driver ${driver.id} speaks protocol ${protocolVersion}; the agent asked for ${asked}`,
    );
  }
  return {
    protocol_version: protocolVersion,
    driver: { id: driver.id, version: driver.version },
    capabilities: capabilitiesOf(driver),
    kinds: Object.entries(driver.kinds).map(([name, kind]) => ({
      kind: name,
      title: kind.title,
      config_schema: { ...kind.config },
      delegable: [...kind.delegable],
    })),
  };
}

function notOffered(driver: Driver, method: string, backend: string): DriverError {
  return new DriverError('unsupported', `driver ${driver.id} has no ${method} for ${backend}`);
}

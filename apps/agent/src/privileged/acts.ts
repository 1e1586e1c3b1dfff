/**
 * What a driver cannot do itself and asks of the agent. Checked here, done in a process of its own that may be abandoned:
 * the agent itself touches no device.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { AgentMethod, Roots } from '@cyborg/driver-sdk/protocol';
import type { Clock } from '@cyborg/service/clock';
import type { Backend } from '../driver-host/backend.ts';
import { DriverCallError } from '@cyborg/driver-host/driver-error';
import { agentDefaults } from '../limits.ts';
import type { Log } from '../log.ts';
import type { Lease } from '../server-link/lease.ts';
import { OpenNodes } from './open-nodes.ts';
import type { Permits } from './permits.ts';

export interface PrivilegedActsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly simulated: boolean;
  readonly roots: Roots;
  readonly permits: Permits;
  readonly lease: Pick<Lease, 'isHeld'>;
}

type Params = Readonly<Record<string, unknown>>;

const addressPattern = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;
const childLimit = { heapMiBMax: 64 } as const;

export class PrivilegedActs {
  readonly #deps: PrivilegedActsDeps;
  readonly #openNodes: OpenNodes;

  constructor(deps: PrivilegedActsDeps) {
    this.#deps = deps;
    this.#openNodes = new OpenNodes(deps);
  }

  /** @throws DriverCallError with the code that the driver is told. */
  async do(method: AgentMethod, params: Params, backend: Backend): Promise<object> {
    const { lease, log, simulated } = this.#deps;
    // Changes nothing and says little: needs no lease and no order.
    if (method === 'openNodes') {
      return await this.#openNodes.find(backend.wanted.id, toNodes(params));
    }
    this.#check(method, params, backend);
    if (!lease.isHeld()) {
      throw new DriverCallError('transient', 'The agent does not hold the lease of this host.');
    }
    if (!simulated) await this.#inChild(method, params);
    log.info({ method, params, simulated }, 'did a privileged act for a driver');
    return {};
  }

  #check(method: AgentMethod, params: Params, backend: Backend): void {
    if (method === 'loadModule') {
      throw new DriverCallError(
        'unsupported',
        `Host policy allows no driver to load modules: load ${String(params['module'])} yourself (modprobe).`,
      );
    }
    const address = String(params['address']);
    if (!addressPattern.test(address)) {
      throw new DriverCallError('invalid', `${JSON.stringify(address)} is no PCI address.`);
    }
    const functions = backend.functionsAt(address);
    if (functions.length === 0) {
      const name = backend.wanted.name;
      throw new DriverCallError('invalid', `${address} is not in the inventory of ${name}.`);
    }
    const used = functions.find(({ hostUse }) => hostUse !== null);
    if (used !== undefined) {
      throw new DriverCallError('host-use', `The host uses ${address}: ${used.hostUse}`);
    }
    this.#checkOrdered(address, backend);
  }

  /** Only for an accelerator whose order has passed the fence and is being carried out. */
  #checkOrdered(address: string, backend: Backend): void {
    const { permits } = this.#deps;
    const ordered = backend
      .acceleratorsAt(address)
      .some((key) => permits.isGranted(backend.wanted.id, key));
    if (ordered) return;
    throw new DriverCallError('invalid', `There is no order about ${address} that allows this.`);
  }

  async #inChild(method: AgentMethod, params: Params): Promise<void> {
    const { clock, roots } = this.#deps;
    const timeoutMs = agentDefaults.privilegedActTimeoutMs;
    const child = fork(fileURLToPath(new URL('./child.ts', import.meta.url)), [], {
      execArgv: [`--max-old-space-size=${childLimit.heapMiBMax}`],
      env: {},
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    const answer = Promise.withResolvers<unknown>();
    child.once('message', (message) => answer.resolve(message));
    child.once('error', (error) => answer.reject(error));
    child.once('exit', () => answer.resolve('The process of the act ended without an answer.'));
    // A write into sysfs may hang for good, and then no signal ends it: the child is left behind.
    using _timer = clock.setTimer(timeoutMs, () =>
      answer.resolve(`${method} was not done within ${timeoutMs} ms; it may still happen.`),
    );
    child.send({ method, params, sysfs: roots.sysfs });
    const failure = await answer.promise;
    child.kill('SIGKILL');
    child.unref();
    if (child.connected) child.disconnect();
    if (failure !== null) throw toError(failure);
  }
}

/** As checked against the protocol. */
function toNodes({ nodes }: Params): string[] {
  return Array.isArray(nodes) ? nodes.map(String) : [];
}

function toError(failure: unknown): DriverCallError {
  if (typeof failure === 'object' && failure !== null && 'hostUse' in failure) {
    return new DriverCallError('host-use', String(failure.hostUse));
  }
  return new DriverCallError('transient', String(failure));
}

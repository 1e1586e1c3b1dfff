/** A server for tests of the agent: real HTTP, and every request is checked against the agent API's schemas. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomUUID } from 'node:crypto';
import { Compile, type Validator } from 'typebox/compile';
import { agentOperations } from '@cyborg/api-spec/agent';
import type {
  DesiredInstallation,
  DesiredState,
  Held,
  Order,
  TakenFunction,
} from '@cyborg/api-spec/agent/desired';
import type { InventoryUpload, OrderOutcome, Report } from '@cyborg/api-spec/agent/report';
import type { LedgerRef } from '@cyborg/api-spec/agent/common';

const validators = {
  enroll: Compile(agentOperations.enroll.schema.body),
  lease: Compile(agentOperations.renewLease.schema.body),
  offers: Compile(agentOperations.offerInventories.schema.body),
  put: Compile(agentOperations.putInventory.schema.body),
  report: Compile(agentOperations.report.schema.body),
} as const;

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

const finals = new Set(['attached', 'failed', 'released', 'cleaned', 'clean_failed', 'refused']);

export class FakeServer implements AsyncDisposable {
  ledger: LedgerRef = { id: randomUUID(), incarnation: 1 };
  token = 'a-join-token-of-some-length';
  credential = 'secret-credential';
  leaseSeconds = 15;
  leaseHolder: string | undefined;
  installations: DesiredInstallation[] = [];
  releaseUnclaimed: DesiredState['release_unclaimed'] = [];
  readonly orders = new Map<string, Order>();
  readonly held = new Map<string, Held>();
  taken: TakenFunction[] = [];
  readonly inventories = new Map<string, InventoryUpload>();
  readonly outcomes: OrderOutcome[] = [];
  readonly reports: Report[] = [];
  readonly violations: string[] = [];
  readonly requests: string[] = [];
  leases: Record<string, unknown>[] = [];
  heldPageSize = 100;
  /** Answers instead of the usual one, when it returns something. */
  intercept: (name: string, body: unknown) => Answer | 'drop' | undefined = () => undefined;
  onOutcome: (outcome: OrderOutcome) => void = () => undefined;
  #revision = 1;
  #server: Server = createServer();
  #changed = new Set<() => void>();
  #isTelling = false;
  #isChanged = false;

  static async start(): Promise<FakeServer> {
    const fake = new FakeServer();
    await fake.listen(0);
    return fake;
  }

  async listen(port: number): Promise<void> {
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        this.violations.push(String(error));
        if (process.env['CYBORG_TEST_LOG']) console.error(error);
        response.destroy();
      });
    });
    this.#server.keepAliveTimeout = 60_000;
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Says that something wanted has changed. */
  changed(): void {
    this.#revision += 1;
    this.#tell();
  }

  order(order: Order): void {
    this.orders.set(keyOf(order), order);
    this.changed();
  }

  withdraw(order: Order): void {
    this.orders.delete(keyOf(order));
    this.changed();
  }

  /** Resolves when the condition holds; looked at after every request. */
  async until(what: string, condition: () => boolean, timeoutMs = 60_000): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#changed.delete(look);
        reject(new Error(`not within ${timeoutMs} ms: ${what}`));
      }, timeoutMs);
      const look = (): void => {
        if (!condition()) return;
        clearTimeout(timer);
        this.#changed.delete(look);
        resolve();
      };
      this.#changed.add(look);
    });
  }

  outcomesOf(order: Order): string[] {
    return this.outcomes
      .filter((outcome) => keyOf(outcome) === keyOf(order))
      .map(({ outcome }) => outcome);
  }

  /** The last word about a backend. */
  backendState(id: string): string | undefined {
    return this.reports.flatMap(({ backends }) => backends).findLast((one) => one.backend_id === id)
      ?.state;
  }

  installationStates(id: string): string[] {
    return this.reports
      .flatMap(({ installations }) => installations)
      .filter((one) => one.installation_id === id)
      .map(({ state }) => state);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Conditions may themselves give orders: they are looked at again, not inside each other. */
  #tell(): void {
    this.#isChanged = true;
    if (this.#isTelling) return;
    this.#isTelling = true;
    try {
      while (this.#isChanged) {
        this.#isChanged = false;
        for (const look of this.#changed) look();
      }
    } finally {
      this.#isTelling = false;
    }
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://x');
    const name = `${request.method} ${url.pathname}`;
    const body: unknown = await readBody(request);
    this.requests.push(name);
    const other = this.intercept(name, body);
    if (other === 'drop') response.destroy();
    else {
      const answer = other ?? (await this.#answer({ name, url, body, request, response }));
      send(response, answer);
    }
    this.#tell();
  }

  async #answer(call: {
    name: string;
    url: URL;
    body: unknown;
    request: IncomingMessage;
    response: ServerResponse;
  }): Promise<Answer> {
    const { name, url, body, request, response } = call;
    if (name === 'POST /agent/v1/enroll') return this.#enroll(body);
    if (request.headers.authorization !== `Bearer ${this.credential}`) {
      return problem(401, 'not-authenticated');
    }
    if (name === 'POST /agent/v1/lease') return this.#lease(body);
    if (name === 'GET /agent/v1/desired') return this.#desired(url, response);
    if (name === 'GET /agent/v1/held') return this.#listHeld(url);
    if (name === 'POST /agent/v1/inventories') return this.#offers(body);
    if (name === 'POST /agent/v1/reports') return this.#report(body);
    if (name.startsWith('PUT /agent/v1/inventories/')) return this.#put(url, body);
    return problem(404, 'no-such-route');
  }

  #check<T>(
    validator: Validator<{}, never> | { Check(value: unknown): boolean },
    body: unknown,
  ): T {
    if (!validator.Check(body)) {
      const errors = 'Errors' in validator ? validator.Errors(body) : [];
      this.violations.push(JSON.stringify(errors));
    }
    return body as T;
  }

  #enroll(body: unknown): Answer {
    const { token, host } = this.#check<{ token: string; host: { name: string } }>(
      validators.enroll,
      body,
    );
    if (token !== this.token) return problem(403, 'enrolment-refused');
    return {
      status: 201,
      body: {
        host_id: randomUUID(),
        host_name: host.name,
        credential: this.credential,
        ledger: this.ledger,
      },
    };
  }

  #lease(body: unknown): Answer {
    const lease = this.#check<
      Record<string, unknown> & {
        instance: string;
        ledger: LedgerRef;
        leaving: boolean;
        replaces?: string[];
      }
    >(validators.lease, body);
    if (lease.ledger.id !== this.ledger.id) return problem(409, 'wrong-ledger');
    const isReplaced = lease.replaces?.includes(this.leaseHolder ?? '') === true;
    if (this.leaseHolder !== undefined && this.leaseHolder !== lease.instance && !isReplaced) {
      return problem(409, 'agent-already-running');
    }
    this.leaseHolder = lease.leaving ? undefined : lease.instance;
    this.leases.push(lease);
    return {
      status: 200,
      body: {
        ledger: this.ledger,
        lease_seconds: this.leaseSeconds,
        host_id: randomUUID(),
        simulated: false,
      },
    };
  }

  async #desired(url: URL, response: ServerResponse): Promise<Answer> {
    const revision = url.searchParams.get('revision');
    const waitMs = Number(url.searchParams.get('wait_seconds') ?? 0) * 1000;
    if (revision === String(this.#revision) && waitMs > 0) {
      let isClosed = false;
      response.on('close', () => {
        isClosed = true;
        this.#tell();
      });
      await this.until('poll', () => isClosed || revision !== String(this.#revision), waitMs).catch(
        () => undefined,
      );
    }
    const orders = [...this.orders.values()];
    const body: DesiredState = {
      ledger: this.ledger,
      revision: String(this.#revision),
      installations: this.installations,
      orders: orders.slice(0, 512),
      release_unclaimed: this.releaseUnclaimed,
      more: orders.length > 512,
    };
    return { status: 200, body };
  }

  #listHeld(url: URL): Answer {
    const from = Number(url.searchParams.get('marker') ?? 0);
    const all = [...this.held.values()];
    const to = from + this.heldPageSize;
    const next = to < all.length ? String(to) : null;
    return {
      status: 200,
      body: {
        ledger: this.ledger,
        items: all.slice(from, to),
        next,
        ...(from === 0 && { taken: this.taken }),
      },
    };
  }

  #offers(body: unknown): Answer {
    const { backends } = this.#check<{ backends: { backend_id: string; hash: string }[] }>(
      validators.offers,
      body,
    );
    const wanted = backends
      .filter(({ backend_id, hash }) => this.inventories.get(backend_id)?.hash !== hash)
      .map(({ backend_id }) => backend_id);
    return { status: 200, body: { wanted } };
  }

  #put(url: URL, body: unknown): Answer {
    const upload = this.#check<InventoryUpload>(validators.put, body);
    this.inventories.set(url.pathname.split('/').at(-1) ?? '', upload);
    return { status: 204 };
  }

  #report(body: unknown): Answer {
    const report = this.#check<Report>(validators.report, body);
    if (this.leaseHolder !== report.instance) return problem(409, 'agent-already-running');
    if (report.ledger.id !== this.ledger.id) return problem(409, 'wrong-ledger');
    this.reports.push(report);
    this.outcomes.push(...report.outcomes);
    let isChanged = false;
    for (const outcome of report.outcomes) {
      const order = this.orders.get(keyOf(outcome));
      if (order === undefined || !finals.has(outcome.outcome)) continue;
      this.orders.delete(keyOf(outcome));
      isChanged = true;
      if (outcome.outcome === 'attached') this.held.set(order.attachment_id ?? '', toHeld(order));
      if (outcome.outcome === 'released') this.held.delete(order.attachment_id ?? '');
    }
    if (isChanged) this.#revision += 1;
    for (const outcome of report.outcomes) this.onOutcome(outcome);
    return { status: 204 };
  }
}

function toHeld(order: Order): Held {
  const { accelerator_id, accelerator_key, backend_id, epoch, device_epoch, plugged_by } = order;
  return {
    attachment_id: order.attachment_id ?? '',
    instance_id: order.instance_id ?? '',
    accelerator_id,
    accelerator_key,
    backend_id,
    epoch,
    device_epoch,
    plugged_by,
  };
}

function keyOf(order: Pick<Order, 'kind' | 'attachment_id' | 'accelerator_id' | 'epoch'>): string {
  return `${order.kind}/${order.attachment_id}/${order.accelerator_id}/${order.epoch}`;
}

export function problem(
  status: number,
  code: string,
  headers: Record<string, string> = {},
): Answer {
  const body = {
    type: `urn:cyborg:${code}`,
    title: code,
    status,
    code,
    detail: code,
    instance: '-',
  };
  return { status, body, headers };
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  const text = Buffer.concat(chunks).toString('utf8');
  return text === '' ? undefined : JSON.parse(text);
}

function send(response: ServerResponse, { status, body, headers = {} }: Answer): void {
  const text = body === undefined ? '' : JSON.stringify(body);
  const type = status >= 400 ? 'application/problem+json' : 'application/json';
  response.writeHead(status, {
    ...(text === '' ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(text) }),
    ...headers,
  });
  response.end(text);
}

/**
 * A whole driver without the SDK, right in every clause: its neighbours each replace one part of it. Kind `rack` has the
 * NVIDIA cards of a PCI tree, one of which the host uses, and gives them out with plans `pci`.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export type Json = Readonly<Record<string, unknown>>;

export class Refusal extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export interface Card {
  readonly key: string;
  readonly address: string;
  readonly hostUse: string | null;
}

const text = (value: unknown): boolean => typeof value === 'string';
const flag = (value: unknown): boolean => typeof value === 'boolean';
const whole = (value: unknown): boolean => Number.isInteger(value);
const list = (value: unknown): boolean => Array.isArray(value);
const target = { backend: text, accelerator: text, epoch: whole };
const forms: Record<string, Record<string, (value: unknown) => boolean>> = {
  initialize: { protocol_versions: list, backends: list, roots: isJson },
  install: { backend: isJson, dry_run: flag },
  uninstall: { backend: text, dry_run: flag },
  discover: { backend: text },
  health: { backend: text },
  prepare: { ...target, attachment: text, instance: text, plugs: list },
  release: { ...target, attachment: text },
  clean: target,
  update: { ...target, image: text, sha256: text },
  shutdown: {},
};

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export class RightDriver {
  readonly backends = new Set<string>();
  buffer: Buffer = Buffer.alloc(0);
  pci = '';
  isInitialized = false;
  readonly epochs = new Map<unknown, number>();
  readonly prepared = new Map<string, unknown>();
  #lastId = 0;
  readonly #asked = new Map<unknown, (answer: Json) => void>();

  start(): void {
    process.stdin.on('data', (chunk: Buffer) => this.read(chunk));
    process.stdin.on('end', () => this.inputEnded());
  }

  inputEnded(): void {
    process.exit(0);
  }

  read(chunk: Buffer): void {
    this.buffer = Buffer.concat([this.buffer, chunk]);
    for (;;) {
      const end = this.buffer.indexOf('\r\n\r\n');
      if (end < 0) return;
      const header = this.buffer.subarray(0, end).toString('latin1');
      const length = Number(/^content-length: *(\d+)/im.exec(header)?.[1]);
      const from = end + 4;
      if (this.buffer.length < from + length) return;
      const body = this.buffer.subarray(from, from + length).toString('utf8');
      this.buffer = this.buffer.subarray(from + length);
      this.take(body);
    }
  }

  take(body: string): void {
    const message: unknown = JSON.parse(body);
    if (!isJson(message)) return;
    const { id, method, params } = message;
    if (typeof method !== 'string') this.#asked.get(id)?.(message);
    else if (id === undefined) this.notified(method, isJson(params) ? params : {});
    else void this.request(id, method, isJson(params) ? params : {});
  }

  notified(_method: string, _params: Json): void {}

  async request(id: unknown, method: string, params: Json): Promise<void> {
    try {
      this.answer(id, { result: await this.handle(method, params) });
    } catch (error) {
      const code = error instanceof Refusal ? error.code : -32_603;
      this.answer(id, { error: { code, message: String(error) } });
    }
    if (method === 'shutdown') this.shutDown();
  }

  shutDown(): void {
    process.exit(0); // stdout is a pipe, which Node writes at once
  }

  answer(id: unknown, body: Json): void {
    this.write({ jsonrpc: '2.0', id, ...body });
  }

  write(message: Json): void {
    const body = Buffer.from(JSON.stringify(message));
    process.stdout.write(`Content-Length: ${body.length}\r\n\r\n${body.toString()}`);
  }

  notify(method: string, params: Json): void {
    this.write({ jsonrpc: '2.0', method, params });
  }

  async ask(method: string, params: Json): Promise<Json> {
    this.#lastId += 1;
    const id = `q${this.#lastId}`;
    const answer = Promise.withResolvers<Json>();
    this.#asked.set(id, answer.resolve);
    this.write({ jsonrpc: '2.0', id, method, params });
    return await answer.promise;
  }

  async handle(method: string, params: Json): Promise<unknown> {
    const form = forms[method];
    if (form === undefined || !Object.hasOwn(forms, method)) return this.unknown(method);
    this.check(form, params);
    if (method !== 'initialize' && method !== 'shutdown') this.requireGreeting();
    switch (method) {
      case 'initialize':
        return this.initialize(params);
      case 'install':
        return this.install(isJson(params['backend']) ? params['backend'] : {}, params);
      case 'uninstall':
        return this.uninstall(String(params['backend']), params);
      case 'shutdown':
        return {};
      default:
        this.requireBackend(String(params['backend']));
        return await this.serve(method, params);
    }
  }

  unknown(method: string): unknown {
    throw new Refusal(-32_601, `no method ${method}`);
  }

  check(form: Record<string, (value: unknown) => boolean>, params: Json): void {
    for (const [key, isRight] of Object.entries(form)) {
      if (!isRight(params[key])) throw new Refusal(-32_602, `params.${key} is wrong`);
    }
  }

  requireGreeting(): void {
    if (!this.isInitialized) throw new Refusal(4003, 'initialize must come first');
  }

  requireBackend(name: string): void {
    if (!this.backends.has(name)) throw new Refusal(4003, `no backend ${name}`);
  }

  initialize(params: Json): Json {
    const { protocol_versions: versions, roots, backends } = params;
    this.negotiate(Array.isArray(versions) ? versions : []);
    this.pci = join(String(isJson(roots) ? roots['sysfs'] : ''), 'bus/pci/devices');
    this.isInitialized = true;
    for (const one of Array.isArray(backends) ? backends : []) {
      if (isJson(one)) this.begin(one);
    }
    this.notify('log', { level: 'info', message: 'here' });
    return this.introduction();
  }

  negotiate(versions: readonly unknown[]): void {
    if (!versions.includes('1')) throw new Refusal(4004, 'it speaks protocol 1');
  }

  begin(spec: Json): void {
    if (spec['kind'] === 'rack') this.backends.add(String(spec['name']));
  }

  introduction(): Json {
    return {
      protocol_version: '1',
      driver: { id: 'wrong', version: '1.0.0' },
      capabilities: ['health', 'update'],
      kinds: [{ kind: 'rack', title: 'Cards', config_schema: this.schema, delegable: ['cards'] }],
    };
  }

  get schema(): Json {
    return {
      type: 'object',
      properties: { cards: { type: 'integer', default: 4 } },
      additionalProperties: false,
    };
  }

  install(spec: Json, { dry_run: isDry }: Json): Json {
    this.checkSpec(spec);
    if (isDry !== true) this.backends.add(String(spec['name']));
    return { status: 'ready' };
  }

  checkSpec({ kind, config }: Json): void {
    if (kind !== 'rack') throw new Refusal(4003, `no kind ${String(kind)}`);
    const { cards = 4, ...others } = isJson(config) ? config : {};
    if (!whole(cards) || Object.keys(others).length > 0) throw new Refusal(4003, 'wrong config');
  }

  uninstall(name: string, { dry_run: isDry }: Json): Json {
    if (isDry !== true) this.backends.delete(name);
    return { status: 'ready' };
  }

  async serve(method: string, params: Json): Promise<unknown> {
    switch (method) {
      case 'discover':
        return await this.discover(String(params['backend']));
      case 'health':
        return this.health();
    }
    this.fence(params);
    switch (method) {
      case 'prepare':
        return { plan: this.plan(this.find(params), params) };
      case 'release':
        this.prepared.delete(String(params['accelerator']));
        return this.release(params);
      case 'update':
        return await this.update(this.find(params), params);
      default:
        return { evidence: this.clean(params) };
    }
  }

  fence({ accelerator, epoch }: Json): void {
    const highest = this.epochs.get(accelerator) ?? 0;
    if (Number(epoch) < highest) throw new Refusal(4003, `epoch ${String(epoch)} is overtaken`);
    this.epochs.set(accelerator, Number(epoch));
  }

  plan(card: Card, params: Json): Json {
    const plan = this.prepare(card, params);
    this.prepared.set(card.key, params['attachment']);
    return plan;
  }

  async update(card: Card, params: Json): Promise<Json> {
    this.checkImage(params);
    if (this.prepared.has(card.key)) throw new Refusal(4005, `${card.key} is prepared`);
    for (const percent of this.steps()) {
      const { backend, accelerator } = params;
      this.notify('updateProgress', { backend, accelerator, percent });
      await sleep(this.stepMs);
    }
    return {};
  }

  /** Of a write; the kit comes into the middle of a long one however busy the machine is. */
  readonly stepMs: number = 5;

  steps(): number[] {
    return [0, 50, 100];
  }

  checkImage({ image, sha256 }: Json): void {
    const actual = createHash('sha256')
      .update(this.imageBytes(String(image)))
      .digest('hex');
    if (actual !== sha256) throw new Refusal(4003, `the image has ${actual}`);
  }

  imageBytes(image: string): Buffer {
    try {
      return readFileSync(image);
    } catch {
      throw new Refusal(4003, `${image} cannot be read`);
    }
  }

  cards(): Card[] {
    const names = this.addresses().toSorted((a, b) => (a < b ? -1 : 1));
    return names.flatMap((address, index) => {
      const vendor = this.attribute(address, 'vendor');
      const isBoot = this.attribute(address, 'boot_vga') === '1';
      const hostUse = isBoot ? 'the boot display' : null;
      const isOurs = vendor === '0x10de' || isBoot;
      return isOurs ? [{ key: this.keyOf(address, index), address, hostUse }] : [];
    });
  }

  addresses(): string[] {
    try {
      return readdirSync(this.pci);
    } catch {
      return [];
    }
  }

  keyOf(address: string, _index: number): string {
    return `card-${address}`;
  }

  attribute(address: string, name: string): string {
    try {
      return readFileSync(join(this.pci, address, name), 'utf8').trim();
    } catch {
      return '';
    }
  }

  async discover(backend: string): Promise<Json> {
    await this.ask('openNodes', { backend, nodes: ['/dev/nvidia0'] });
    const devices = this.cards().map((card) => this.device(card));
    return { devices, services: [] };
  }

  device(card: Card): Json {
    const { key, address } = card;
    return {
      key,
      address,
      vendor_id: null,
      device_id: null,
      class: null,
      type: 'GPU',
      vendor: null,
      model: null,
      serial: null,
      numa_node: null,
      iommu_group: null,
      kernel_driver: null,
      offered: card.hostUse === null,
      reason: card.hostUse,
      health: { status: 'healthy', reason: null },
      info: {},
      deployables: [
        {
          key,
          name: `host_${address}`,
          resource_class: 'PGPU',
          traits: [],
          accelerators: [this.accelerator(card)],
        },
      ],
    };
  }

  accelerator({ key, hostUse }: Card): Json {
    return {
      key,
      name: key,
      type: 'GPU',
      plans: ['pci'],
      offered: hostUse === null,
      reason: hostUse,
      host_use: hostUse,
      attach_info: {},
    };
  }

  health(): Json {
    return Object.fromEntries(
      this.cards().map(({ key }) => [key, { status: 'healthy', reason: null }]),
    );
  }

  find({ accelerator }: Json): Card {
    const card = this.cards().find(({ key }) => key === accelerator);
    if (card === undefined) throw this.gone(String(accelerator));
    return card;
  }

  gone(key: string): Refusal {
    return new Refusal(4001, `no accelerator ${key}`);
  }

  prepare(card: Card, { plugs }: Json): Json {
    if (card.hostUse !== null) throw new Refusal(4005, card.hostUse);
    if (!Array.isArray(plugs) || !plugs.includes('pci')) throw new Refusal(4004, 'it needs pci');
    return { kind: 'pci', address: card.address };
  }

  release(_params: Json): Json {
    return {};
  }

  clean(_params: Json): string[] {
    return ['reset'];
  }
}

if (import.meta.main) new RightDriver().start();

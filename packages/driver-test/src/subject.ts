/** The driver under test: how it is started here, with which backends and on which trees. Starts it as an agent does. */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import { launchDriver, type Launched } from '@cyborg/driver-host/launch';
import { probeWall, type Wall } from '@cyborg/driver-host/wall';
import { findProblem, type JsonSchema } from '@cyborg/driver-sdk/json-schema';
import { protocolVersion } from '@cyborg/driver-sdk/protocol-constants';
import type {
  BackendKind,
  BackendSpec,
  InitializeParams,
  Roots,
} from '@cyborg/driver-sdk/protocol';
import type { Clock } from '@cyborg/service/clock';
import { Conversation, type ConversationOptions } from './conversation.ts';
import { isRecord, type Journal, type Setting } from './journal.ts';
import type { Violation } from './judge.ts';
import { kitLimits } from './limits.ts';
import { digestOfFolder, layOutMachine, type MachineName } from './machine.ts';

export interface SubjectOptions {
  readonly pkg: DriverPackage;
  readonly clock: Clock;
  readonly journal: Journal;
  readonly callMs: number;
  /** In place of the package's default backends and one of each other kind. */
  readonly backends?: readonly BackendSpec[] | undefined;
  /** A recorded machine, in place of the kit's own. */
  readonly tree?: string | undefined;
  /** A program image that its cards take, in place of bytes that mean nothing. */
  readonly image?: string | undefined;
  readonly onViolation: (violation: Violation) => void;
}

const imageName = 'kit-image';

/** The same in every run. */
function madeImage(): Buffer {
  return Buffer.alloc(kitLimits.imageBytes, 'an image that means nothing; ');
}

export interface StartOptions {
  readonly machine?: MachineName;
  /** Another folder than the one that all processes share. */
  readonly stateDir?: string;
  readonly onRequest?: ConversationOptions['onRequest'];
}

export interface Started {
  readonly conversation: Conversation;
  readonly launched: Launched;
}

export class Subject {
  readonly folder: string;
  readonly setting: Setting;
  readonly options: SubjectOptions;
  readonly imageSha256: string;
  /** As drivers see it. */
  imagesDir: string;
  readonly #images: string;
  backends: readonly BackendSpec[] = [];
  /** Kinds that no backend could be made of. */
  readonly leftOut: string[] = [];
  /** What its processes asked of their agent. */
  readonly asked = new Set<string>();
  readonly #wall: Wall;
  readonly #roots = new Map<MachineName, Roots>();
  readonly #conversations = new Set<Conversation>();
  #started = 0;

  private constructor(options: SubjectOptions, wall: Wall, folder: string) {
    this.options = options;
    this.#wall = wall;
    this.folder = folder;
    this.#images = join(folder, 'images');
    this.imagesDir = this.#images;
    mkdirSync(this.#images, { mode: 0o755 });
    const bytes = options.image === undefined ? madeImage() : readFileSync(options.image);
    writeFileSync(join(this.#images, imageName), bytes, { mode: 0o644 });
    this.imageSha256 = createHash('sha256').update(bytes).digest('hex');
    this.rootsOf('machine');
    this.setting = {
      tree: options.tree ?? null,
      tree_sha256: digestOfFolder(join(folder, 'machine')),
      image: options.image ?? null,
      image_sha256: this.imageSha256,
    };
    options.journal.note(0, { what: 'setting', ...this.setting });
  }

  /** @throws when the recording cannot be laid out, or no driver can be started on this machine. */
  static async open(options: SubjectOptions): Promise<Subject> {
    const wall = await probeWall(process.getuid?.() ?? 0, { warn: () => undefined });
    const folder = mkdtempSync(join(tmpdir(), 'cyborg-driver-test-'));
    chmodSync(folder, 0o755); // the driver is another user
    try {
      return new Subject(options, wall, folder);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#conversations].map((one) => one.kill('the kit is done')));
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Laid out when it is first asked for. */
  rootsOf(name: MachineName): Roots {
    const { folder } = this;
    const roots = this.#roots.get(name) ?? layOutMachine(name, { folder, tree: this.options.tree });
    this.#roots.set(name, roots);
    return roots;
  }

  async start(options: StartOptions = {}): Promise<Started> {
    const { machine = 'machine', stateDir, onRequest } = options;
    const { pkg, clock, journal, callMs, onViolation } = this.options;
    const launched = await launchDriver(pkg, {
      wall: this.#wall,
      execPath: process.execPath,
      roots: this.rootsOf(machine),
      stateDir: stateDir ?? join(this.folder, 'state'),
      imagesDir: this.#images,
    });
    this.imagesDir = launched.imagesDir ?? this.#images;
    this.#started += 1;
    const conversation = new Conversation({
      child: launched.child,
      number: this.#started,
      clock,
      journal,
      callMs,
      onViolation,
      onAsked: (method) => this.asked.add(method),
      machine,
      places: {
        folder: this.folder,
        state_dir: launched.stateDir,
        images_dir: this.imagesDir,
      },
      ...(onRequest && { onRequest }),
    });
    this.#conversations.add(conversation);
    void conversation.exited.then(() => this.#conversations.delete(conversation));
    return { conversation, launched };
  }

  /** The image that updates write, as drivers see it. */
  get image(): string {
    return join(this.imagesDir, imageName);
  }

  /** What an agent says first. */
  greeting(launched: Launched): InitializeParams {
    return {
      protocol_versions: [protocolVersion],
      agent_version: '0.0.0-driver-test',
      host: { name: 'kit-host', node_name: 'kit-host.example.org' },
      roots: launched.roots,
      simulated: true,
      state_dir: launched.stateDir,
      backends: this.backends.map((spec) => ({ ...spec })),
    };
  }

  /** Settles the backends: those given, or the package's default ones and one of each kind that needs no settings. */
  async chooseBackends(): Promise<void> {
    if (this.options.backends !== undefined) {
      this.backends = this.options.backends;
      return;
    }
    const defaults = defaultBackendsOf(this.options.pkg.folder);
    const kinds = await this.#askKinds();
    const others = kinds.filter(({ kind }) => defaults.every((spec) => spec.kind !== kind));
    const own: BackendSpec[] = [];
    for (const { kind, config_schema: schema } of others) {
      const problem = findProblem(toSchema(schema), {}, 'config');
      if (problem === undefined) own.push({ name: `kit-${kind}`, kind, config: {} });
      else this.leftOut.push(`${kind} (${problem}); give --backends FILE`);
    }
    this.backends = [...defaults, ...own];
  }

  async #askKinds(): Promise<readonly BackendKind[]> {
    const { conversation, launched } = await this.start();
    const greeting = { ...this.greeting(launched), backends: [] };
    const { kinds } = await conversation.call('initialize', greeting, kitLimits.initializeMsMax);
    await conversation.leave();
    return kinds;
  }
}

/** A driver's own schema: what of it this checker does not know it does not check. */
export function toSchema(schema: Readonly<Record<string, unknown>>): JsonSchema {
  return schema;
}

function defaultBackendsOf(folder: string): BackendSpec[] {
  const file = join(folder, 'manifest.json');
  if (!existsSync(file)) return [];
  const manifest: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const given = isRecord(manifest) ? manifest['default_backends'] : undefined;
  return Array.isArray(given) ? given.map((one, index) => parseBackend(one, index)) : [];
}

/** @throws Error naming the place. */
export function parseBackend(value: unknown, index: number): BackendSpec {
  const { name, kind, config = {} } = isRecord(value) ? value : {};
  if (typeof name !== 'string' || typeof kind !== 'string' || !isRecord(config)) {
    throw new Error(`backend ${index} is not {"name": …, "kind": …, "config": {…}}`);
  }
  return { name, kind, config };
}

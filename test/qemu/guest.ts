/** A booted guest of labs/guest for tests: its serial console is read line by line. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** For what a guest or a program answers by itself: a busy machine emulates it several times as slowly. */
export const patientMs = 180_000;

const lab = fileURLToPath(new URL('../../labs/guest/', import.meta.url));

/** Why there can be no guest on this machine, or null. */
export function whyNoGuest(): string | null {
  for (const tool of ['setpriv', 'qemu-system-x86_64', 'busybox', 'cpio', 'apt-get']) {
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) {
      return `${tool} is not installed: run labs/guest/install-packages`;
    }
  }
  const build = spawnSync(`${lab}build`, [], { encoding: 'utf8' });
  return build.status === 0 ? null : `labs/guest/build failed: ${build.stderr.trim()}`;
}

export interface GuestOptions {
  readonly name: string;
  readonly qmpDirectory: string;
  readonly uuid: string;
  readonly project?: string;
  /** More arguments of labs/guest/run. */
  readonly more?: readonly string[];
}

export class Guest implements AsyncDisposable {
  /** Everything it said, oldest first. */
  readonly lines: string[] = [];
  readonly process: ChildProcess;
  readonly uuid: string;
  readonly #heard = new Set<() => void>();

  constructor({ name, qmpDirectory, uuid, project, more = [] }: GuestOptions) {
    this.uuid = uuid;
    const args = ['--name', name, '--qmp-dir', qmpDirectory, '--uuid', uuid];
    // It dies with us, also when we are killed.
    const run = ['--pdeathsig', 'KILL', `${lab}run`, ...args];
    this.process = spawn('setpriv', [...run, ...(project ? ['--project', project] : []), ...more], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    for (const input of [this.process.stdout, this.process.stderr]) {
      if (input !== null) createInterface({ input }).on('line', (line) => this.#hear(line.trim()));
    }
    this.process.on('exit', () => this.#hear('(QEMU ended)'));
  }

  #hear(line: string): void {
    this.lines.push(line);
    for (const heard of this.#heard) heard();
  }

  /** Waits for a line that the guest says after the first `since` lines. */
  async says(pattern: RegExp, { since = 0, timeoutMs = patientMs } = {}): Promise<string> {
    const found = Promise.withResolvers<string>();
    const look = (): void => {
      const line = this.lines.slice(since).find((text) => pattern.test(text));
      if (line !== undefined) found.resolve(line);
    };
    const timer = setTimeout(() => {
      const said = this.lines.slice(-20).join('\n');
      found.reject(new Error(`The guest did not say ${pattern} in ${timeoutMs} ms, but:\n${said}`));
    }, timeoutMs);
    this.#heard.add(look);
    look();
    try {
      return await found.promise;
    } finally {
      clearTimeout(timer);
      this.#heard.delete(look);
    }
  }

  /** Address and kind of our devices (virtio-rng, virtio-crypto) that it sees, by what it said since it booted. */
  devices(): string[] {
    const there = new Set<string>();
    for (const line of this.lines) {
      if (line.startsWith('CYBORG-GUEST REBOOTING')) there.clear();
      const [, sign, device] = /^CYBORG-PCI([+-]?) +(\S+ 1af4:10(?:44|54))/.exec(line) ?? [];
      if (device === undefined) continue;
      if (sign === '-') there.delete(device);
      else there.add(device);
    }
    return [...there];
  }

  /** Types a line on its console. */
  type(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill(signal);
    await once(this.process, 'exit');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** A libvirtd of our own, beside and apart from the machine's: started, killed and asked by tests. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { systemClock } from '@cyborg/service/clock';
import { eventually } from '@cyborg/testing/processes';

import { patientMs } from './guest.ts';

/** As root libvirtd would be the machine's; as nobody it is a session's, whatever else runs. */
const nobody = 65_534;
const isRoot = process.getuid?.() === 0;

/** Why there can be no libvirtd, or null. */
export function whyNoLibvirt(): string | null {
  const missing = ['libvirtd', 'virsh', 'setpriv'].filter(
    (tool) => spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${tool}`]).status !== 0,
  );
  return missing.length === 0
    ? null
    : `${missing.join(', ')} not installed: run labs/guest/install-packages`;
}

export class Libvirtd implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'cyborg-libvirt-'));
  readonly uri = `qemu+unix:///session?socket=${join(this.folder, 'run/libvirt/libvirt-sock')}`;
  #daemon: ChildProcess | null = null;

  constructor() {
    chmodSync(this.folder, 0o755);
    for (const name of ['run', 'config', 'cache', 'data']) this.#ownFolder(name);
  }

  #ownFolder(name: string): void {
    const folder = join(this.folder, name);
    mkdirSync(folder, { mode: 0o700 });
    if (isRoot) chownSync(folder, nobody, nobody);
  }

  async start(): Promise<void> {
    const user = isRoot ? [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups'] : [];
    const daemon = spawn('setpriv', [...user, '--pdeathsig', 'KILL', 'libvirtd'], {
      env: {
        PATH: `${process.env['PATH']}:/usr/sbin`,
        HOME: join(this.folder, 'data'),
        XDG_RUNTIME_DIR: join(this.folder, 'run'),
        XDG_CONFIG_HOME: join(this.folder, 'config'),
        XDG_CACHE_HOME: join(this.folder, 'cache'),
        XDG_DATA_HOME: join(this.folder, 'data'),
      },
      stdio: 'ignore',
    });
    this.#daemon = daemon;
    await eventually(() => this.virsh('uri').status === 0, {
      timeoutMs: patientMs,
      what: 'libvirtd answers',
    });
  }

  virsh(...command: string[]): { status: number | null; stdout: string; stderr: string } {
    return spawnSync('virsh', ['-c', this.uri, ...command], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
      timeout: patientMs,
    });
  }

  /** The daemon alone: machines run on. */
  async kill(): Promise<void> {
    const daemon = this.#daemon;
    if (daemon === null || daemon.exitCode !== null || daemon.signalCode !== null) return;
    daemon.kill('SIGKILL');
    await once(daemon, 'exit');
  }

  /** Defines and starts a domain of the tiny guest, as Nova would: UUID, metadata, direct kernel. */
  startGuest(given: { uuid: string; name: string }): LibvirtGuest {
    return this.#startGuest(given, (file) => [
      ['define', file],
      ['start', given.uuid],
    ]);
  }

  /** The same without defining it: it has no configuration, and is forgotten when it ends. */
  createGuest(given: { uuid: string; name: string }): LibvirtGuest {
    return this.#startGuest(given, (file) => [['create', file]]);
  }

  /** What a guest of that name was started with. */
  fileOf(name: string): string {
    return join(this.folder, `${name}.xml`);
  }

  #startGuest(
    { uuid, name }: { uuid: string; name: string },
    commandsOf: (file: string) => string[][],
  ): LibvirtGuest {
    const build = spawnSync(fileURLToPath(new URL('../../labs/guest/build', import.meta.url)), {
      encoding: 'utf8',
    });
    const guest = build.stdout.trim();
    for (const file of ['vmlinuz', 'initrd.gz']) {
      copyFileSync(join(guest, file), join(this.folder, file));
      chmodSync(join(this.folder, file), 0o644);
    }
    const file = this.fileOf(name);
    writeFileSync(file, domainXml({ uuid, name, folder: this.folder }));
    for (const command of commandsOf(file)) {
      const { status, stderr } = this.virsh(...command);
      if (status !== 0) throw new Error(`virsh ${command[0]}: ${stderr}`);
    }
    return new LibvirtGuest(join(this.folder, 'data', `${name}.console`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { stdout } = this.virsh('--quiet', 'list', '--uuid');
    for (const uuid of stdout.split('\n').filter(Boolean)) this.virsh('destroy', uuid);
    await this.kill();
    // Its machines may still be ending.
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

export class LibvirtGuest {
  readonly #console: string;

  constructor(console: string) {
    this.#console = console;
  }

  /** Whole lines: what is being written is not counted yet. */
  get lines(): string[] {
    if (!existsSync(this.#console)) return [];
    return readFileSync(this.#console, 'utf8').split(/\r?\n/).slice(0, -1);
  }

  async says(pattern: RegExp, since = 0): Promise<string> {
    const startedMs = systemClock.monotonicMs();
    return eventually(() => this.lines.slice(since).find((line) => pattern.test(line)), {
      timeoutMs: patientMs,
      pauseMs: 100,
      what: `the guest says ${pattern}`,
      context: () =>
        `${Math.round(systemClock.monotonicMs() - startedMs)} ms: ${this.lines.slice(-20).join('\n')}`,
    });
  }
}

function domainXml({ uuid, name, folder }: { uuid: string; name: string; folder: string }): string {
  const ports = Array.from({ length: 6 }, () => "<controller type='pci' model='pcie-root-port'/>");
  return `<domain type='qemu'>
  <name>${name}</name><uuid>${uuid}</uuid>
  <metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
    <nova:name>web &amp; more</nova:name>
    <nova:owner><nova:user uuid="u1">demo</nova:user><nova:project uuid="p1">demo</nova:project></nova:owner>
  </nova:instance></metadata>
  <memory unit='MiB'>256</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <kernel>${folder}/vmlinuz</kernel><initrd>${folder}/initrd.gz</initrd>
    <cmdline>console=ttyS0 quiet panic=-1</cmdline></os>
  <features><acpi/></features>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='pci' model='pcie-root'/>${ports.join('')}
    <serial type='file'><source path='${folder}/data/${name}.console'/></serial>
  </devices></domain>`;
}

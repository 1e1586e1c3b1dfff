/** A machine in a folder: what the kernel shows of modules, arguments and huge pages, and a modprobe that changes it. */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostCommands, type HostCommands } from '../src/host-needs/commands.ts';

const modprobe = (root: string): string => `#!/bin/sh
[ "$1" = -- ] && shift
name=$(echo "$1" | tr - _)
echo "load $1" >> ${root}/acts
[ -e ${root}/refuse ] && { echo "modprobe: ERROR: could not insert '$1': Key was rejected by service" >&2; exit 1; }
mkdir -p ${root}/sys/module/$name
echo "$name 16384 0 - Live 0x0000000000000000" >> ${root}/proc/modules
`;
const rmmod = (root: string): string => `#!/bin/sh
echo "unload $1" >> ${root}/acts
grep -v "^$1 " ${root}/proc/modules > ${root}/proc/modules.new
mv ${root}/proc/modules.new ${root}/proc/modules
rmdir ${root}/sys/module/$1
`;

export class TestMachine implements AsyncDisposable {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
    mkdirSync(join(root, 'proc/sys/kernel/random'), { recursive: true });
    mkdirSync(join(root, 'sys/module'), { recursive: true });
    mkdirSync(join(root, 'sys/bus/pci/devices'), { recursive: true });
    writeFileSync(join(root, 'proc/sys/kernel/osrelease'), '6.1.0-test\n');
    writeFileSync(join(root, 'proc/modules'), '');
    this.boot('BOOT_IMAGE=/vmlinuz quiet');
    for (const [name, text] of [
      ['modprobe', modprobe(root)],
      ['rmmod', rmmod(root)],
    ] as const) {
      writeFileSync(join(root, name), text);
      chmodSync(join(root, name), 0o755);
    }
  }

  static async make(): Promise<TestMachine> {
    const root = await mkdtemp(join(tmpdir(), 'cyborg-machine-'));
    chmodSync(root, 0o755);
    return new TestMachine(root);
  }

  get roots(): { readonly sysfs: string; readonly proc: string; readonly dev: string } {
    return { sysfs: join(this.root, 'sys'), proc: join(this.root, 'proc'), dev: '/dev' };
  }

  get commands(): HostCommands {
    const load = [join(this.root, 'modprobe')];
    return { ...hostCommands, load, unload: [join(this.root, 'rmmod')] };
  }

  /** Started anew with these arguments: nothing that was loaded is there any more. */
  boot(line: string): void {
    writeFileSync(join(this.root, 'proc/cmdline'), `${line}\n`);
    writeFileSync(join(this.root, 'proc/sys/kernel/random/boot_id'), `${crypto.randomUUID()}\n`);
    writeFileSync(join(this.root, 'proc/modules'), '');
    rmSync(join(this.root, 'sys/module'), { recursive: true });
    mkdirSync(join(this.root, 'sys/module'));
  }

  /** As an operator does it. */
  load(name: string, users = 0): void {
    const others = this.modules().filter((one) => one !== name);
    const lines = [
      ...others.map((one) => `${one} 16384 0 - Live 0x0`),
      `${name} 16384 ${users} - Live 0x0`,
    ];
    writeFileSync(join(this.root, 'proc/modules'), `${lines.join('\n')}\n`);
    mkdirSync(join(this.root, 'sys/module', name), { recursive: true });
  }

  modules(): string[] {
    const text = readFileSync(join(this.root, 'proc/modules'), 'utf8');
    return text.split('\n').flatMap((line) => (line === '' ? [] : [line.split(' ')[0] ?? '']));
  }

  refuseModules(): void {
    writeFileSync(join(this.root, 'refuse'), '');
  }

  giveHugepages(sizeKib: number, count: number): void {
    const folder = join(this.root, `sys/kernel/mm/hugepages/hugepages-${sizeKib}kB`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'nr_hugepages'), `${count}\n`);
  }

  /** What was asked of modprobe and rmmod. */
  acts(): string[] {
    const file = join(this.root, 'acts');
    if (!existsSync(file)) return [];
    return readFileSync(file, 'utf8').trim().split('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}

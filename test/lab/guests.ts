/** Guests inside the lab, to attach to: QEMU processes as the agent's qemu adapter finds them, and libvirt's domains. */
import { patientMs, type Lab } from './lab.ts';

/** Twenty seconds, and several times that on a busy machine: after a quarter of it a guest is started again. */
const bootSecondsMax = 600;
/** Starting and booting. */
const startMsMax = bootSecondsMax * 1000 + patientMs;

/** What a guest's own kernel says of a PCI function. */
export interface SeenFunction {
  readonly address: string;
  /** `1b36:0010` */
  readonly ids: string;
}

export class LabGuest {
  readonly lab: Lab;
  readonly name: string;
  readonly uuid: string;

  private constructor(lab: Lab, name: string, uuid: string) {
    this.lab = lab;
    this.name = name;
    this.uuid = uuid;
  }

  /**
   * A QEMU process of its own, with a QMP socket and a project file; resolves when it has booted. (One of that name, of
   * tests that failed before, is ended.)
   */
  static async qemu(lab: Lab, name: string, more = ''): Promise<LabGuest> {
    const start = `start --wait ${bootSecondsMax} --qmp-dir /run/cyborg/qmp --project demo ${more}`;
    await lab.run(`nested --name ${name} stop; nested --name ${name} ${start}`, startMsMax);
    return new LabGuest(lab, name, await uuidOf(lab, name));
  }

  /** A domain of libvirtd, which is started when it does not run. */
  static async libvirt(lab: Lab, name: string): Promise<LabGuest> {
    await lab.run(
      `virt up ${name} --project demo --wait ${bootSecondsMax}`,
      startMsMax + patientMs,
    );
    return new LabGuest(lab, name, await uuidOf(lab, name));
  }

  get lines(): string[] {
    return this.lab.lines(`${this.name}.console`);
  }

  /** The functions that were plugged since it booted and are there still. */
  plugged(): SeenFunction[] {
    const there = new Map<string, SeenFunction>();
    for (const line of this.lines) {
      if (line.startsWith('NESTED-READY')) there.clear();
      const [, sign, address, vendor, device] =
        /^NESTED-(ADD|DEL) (\S+)(?: 0x(\w+):0x(\w+))?/.exec(line) ?? [];
      if (address === undefined) continue;
      if (sign === 'DEL') there.delete(address);
      else there.set(address, { address, ids: `${vendor}:${device}` });
    }
    return [...there.values()];
  }

  /** All that its kernel has now, also what it booted with. */
  functions(): SeenFunction[] {
    const there = new Map<string, SeenFunction>();
    let isBooting = false;
    for (const line of this.lines) {
      const [, what, address = '', vendor, device] =
        /^NESTED-(PCI|ADD|DEL|READY) ?(\S+)?(?: 0x(\w+):0x(\w+))?/.exec(line) ?? [];
      if (what === undefined) continue;
      if (what === 'PCI' && !isBooting) there.clear();
      isBooting = what === 'PCI';
      if (what === 'DEL') there.delete(address);
      else if (what !== 'READY') there.set(address, { address, ids: `${vendor}:${device}` });
    }
    return [...there.values()];
  }

  async says(pattern: RegExp, since = 0): Promise<string> {
    return await this.lab.says(`${this.name}.console`, pattern, { since });
  }

  /** Runs a line in a QEMU guest. */
  async sh(line: string): Promise<string> {
    const quoted = `'${line.replaceAll("'", "'\\''")}'`;
    return await this.lab.run(`nested --name ${this.name} sh ${quoted} 120`);
  }

  async stop(): Promise<void> {
    await this.lab.tryRun(`nested --name ${this.name} stop`);
  }

  async destroy(): Promise<void> {
    await this.lab.tryRun(`virt down ${this.name}`);
  }
}

/** Always the same for one name: labs/pci/inside/guest-args. */
async function uuidOf(lab: Lab, name: string): Promise<string> {
  return (await lab.run(`source /lab/x/guest-args; uuid_of ${name}`)).trim();
}

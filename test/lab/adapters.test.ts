/** The hypervisors' adapters alone, in the lab: functions go to guests by VFIO and come back, and refusals say the way out. */
import { basename, join } from 'node:path';

import { rolldown } from 'rolldown';
import { afterAll, afterEach, beforeAll, describe, inject, it, type ExpectStatic } from 'vitest';

import { LabGuest } from './guests.ts';
import { Lab, needsLab } from './lab.ts';

needsLab();

const nvme = '0000:41:00.0';
const crypto = '0000:22:00.0';
/** Conventional PCI, where libvirt chooses no PCIe port by itself. */
const edu = '0000:00:10.0';
const display = '0000:42:00.0';
const pair = ['0000:44:01.0', '0000:44:02.0'] as const;

interface Step {
  readonly do: 'list' | 'plug' | 'unplug';
  readonly instance?: string;
  readonly device?: string;
  readonly address?: string;
  readonly patienceMs?: number;
}

const deviceOf = (address: string): string => `ua-cyborg-${address.replaceAll(/\W/g, '')}-1`;

let lab: Lab;
let guest: LabGuest | undefined;

async function bind(...addresses: string[]): Promise<void> {
  for (const address of addresses) await lab.run(`pci-bind ${address} vfio-pci`);
}

/** @returns what each step answered. */
async function steps(kind: 'qemu' | 'libvirt', all: readonly Step[]): Promise<unknown[]> {
  const told = await lab.run(
    `${process.execPath} /lab/x/adapters.js ${kind} <<'STEPS'\n${JSON.stringify(all)}\nSTEPS`,
    900_000,
  );
  return told
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
}

const plug = ({ uuid }: LabGuest, address: string): Step => ({
  do: 'plug',
  instance: uuid,
  device: deviceOf(address),
  address,
});
const unplug = ({ uuid }: LabGuest, address: string): Step => ({
  do: 'unplug',
  instance: uuid,
  device: deviceOf(address),
});

/**
 * Plugs them, twice each, and takes them back, twice each; the guest's own kernel sees them come and go.
 * @returns what they are bound to afterwards.
 */
async function comeAndGo(
  kind: 'qemu' | 'libvirt',
  given: LabGuest,
  { expect, functions }: { expect: ExpectStatic; functions: Readonly<Record<string, string>> },
): Promise<string[]> {
  const addresses = Object.keys(functions);
  const plugs = addresses.flatMap((address) => [plug(given, address), plug(given, address)]);
  const answers = await steps(kind, [...plugs, { do: 'list' }]);
  expect(answers.slice(0, -1)).toEqual(plugs.map(() => ({})));
  expect(answers.at(-1)).toMatchObject({
    instances: [{ id: given.uuid, functions: expect.arrayContaining(addresses) }],
  });
  for (const ids of Object.values(functions)) {
    await given.says(new RegExp(`^NESTED-ADD \\S+ 0x${ids.replace(':', ':0x')} `));
  }
  const seen = given.plugged().map(({ ids }) => ids);
  expect(seen.toSorted()).toEqual(Object.values(functions).toSorted());
  const unplugs = addresses.flatMap((address) => [unplug(given, address), unplug(given, address)]);
  const gone = await steps(kind, [...unplugs, { do: 'list' }]);
  expect(gone.slice(0, -1)).toEqual(unplugs.map(() => ({})));
  expect(gone.at(-1)).toMatchObject({ instances: [{ devices: [], functions: [] }] });
  const folders = addresses.map((address) => `/sys/bus/pci/devices/${address}/driver`);
  return (await lab.run(`readlink ${folders.join(' ')}`))
    .trim()
    .split('\n')
    .map((line) => basename(line));
}

describe('adapters in the lab', () => {
  beforeAll(async () => {
    if (inject('labMissing') !== null) return;
    lab = Lab.current();
    const input = join(import.meta.dirname, 'adapters/inside.ts');
    const bundle = await rolldown({ input, platform: 'node' });
    const file = join(lab.folder, 'x/adapters.js');
    await bundle.write({ file, format: 'esm', codeSplitting: false });
    await bundle.close();
    await lab.run('mkdir -p /run/cyborg/qmp');
    await bind(nvme, crypto, edu, display);
  });
  afterEach(async () => {
    await guest?.stop();
    guest = undefined;
  });
  afterAll(async () => {
    if (inject('labMissing') !== null) return;
    for (const address of [crypto, edu, display, ...pair]) {
      await lab.tryRun(`pci-bind ${address} none`);
    }
    await lab.tryRun(`pci-bind ${nvme} nvme`);
  });

  it('hand functions to a running QEMU guest and take them back', async ({ expect }) => {
    guest = await LabGuest.qemu(lab, 'given');
    const functions = { [nvme]: '1b36:0010', [crypto]: '1af4:1054', [edu]: '1234:11e8' };
    const bound = await comeAndGo('qemu', guest, { expect, functions });
    expect(new Set(bound)).toEqual(new Set(['vfio-pci']));
  });

  it('tell what a guest was started with, what stands in the way, and who has a function', async ({
    expect,
  }) => {
    guest = await LabGuest.qemu(lab, 'owner', `--ports 2 -- -device vfio-pci,host=${crypto}`);
    const other = await LabGuest.qemu(lab, 'other');
    try {
      await lab.run(`pci-bind ${pair[0]} vfio-pci; pci-bind ${display} none`);
      const [listing, ...refusals] = await steps('qemu', [
        { do: 'list' },
        plug(other, crypto),
        plug(guest, crypto),
        plug(other, pair[0]),
        plug(other, display),
        plug(guest, nvme),
        plug(guest, edu),
        plug(guest, pair[1]),
      ]);
      expect(listing).toMatchObject({
        instances: expect.arrayContaining([
          expect.objectContaining({ id: guest.uuid, devices: [], functions: [crypto] }),
        ]),
      });
      const refused = (code: string, text: string): object => ({
        code,
        message: expect.stringContaining(text),
      });
      expect(refusals).toEqual([
        refused('unavailable', `${crypto} is held by another process`),
        refused('refused', `The machine has ${crypto} already`),
        refused('refused', 'is bound to a driver of the host'),
        refused('refused', `${display} is not bound to vfio-pci`),
        {},
        {},
        refused('refused', 'All 2 hot-plug ports'),
      ]);
      // A guest whose processors stand still lets go of nothing, and of all when they go on.
      await lab.run(`nested --name owner qmp stop`);
      const held = { ...unplug(guest, nvme), patienceMs: 5_000 };
      expect(await steps('qemu', [held])).toEqual([refused('guest-refuses', 'it is asked again')]);
      await lab.run(`nested --name owner qmp cont`);
      const [released, , after] = await steps('qemu', [
        unplug(guest, nvme),
        plug(other, nvme),
        { do: 'list' },
      ]);
      expect(released).toEqual({});
      expect(after).toMatchObject({
        instances: expect.arrayContaining([
          expect.objectContaining({ id: other.uuid, functions: [nvme] }),
        ]),
      });
    } finally {
      await other.stop();
      await bind(display);
    }
  });

  it('hand functions to a running libvirt domain, through a libvirtd that is killed', async ({
    expect,
  }) => {
    const domain = await LabGuest.libvirt(lab, 'domain');
    try {
      const functions = { [nvme]: '1b36:0010', [edu]: '1234:11e8', [display]: '1234:1111' };
      const bound = await comeAndGo('libvirt', domain, { expect, functions });
      expect(new Set(bound)).toEqual(new Set(['vfio-pci']));
      expect(await steps('libvirt', [plug(domain, crypto)])).toEqual([{}]);
      const xml = await lab.run('virsh dumpxml --inactive domain');
      expect(xml).toContain(deviceOf(crypto));
      await lab.run('virt kill');
      expect(await steps('libvirt', [unplug(domain, crypto)])).toMatchObject([
        { code: 'unavailable' },
      ]);
      // One that is loading what it knows lists nothing for a moment.
      await lab.run('virt daemon && until virsh list --uuid | grep -q .; do sleep 0.5; done');
      const [listing, done] = await steps('libvirt', [{ do: 'list' }, unplug(domain, crypto)]);
      expect(listing).toMatchObject({ instances: [{ devices: [{ name: deviceOf(crypto) }] }] });
      expect(done).toEqual({});
      const after = await lab.run('virsh dumpxml --inactive domain; virsh dumpxml domain');
      expect(after).not.toContain('hostdev');
    } finally {
      await domain.destroy();
    }
  });
});

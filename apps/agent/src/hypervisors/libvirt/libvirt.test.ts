import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { systemClock, type Clock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';
import { makeTestClock } from '@cyborg/testing/clock';
import type { Hypervisor } from '../hypervisor.ts';
import { absenceLimits } from './absences.ts';

const instanceId = 'ab5d3f3e-6d2c-4d4f-9a53-d1c3c3f7f001';
const deviceName = 'ua-cyborg-ab5d3f3e-6d2c-4d4f-9a53-d1c3c3f7f002-1';
const order = {
  instanceId,
  deviceName,
  plan: { kind: 'virtio-rng', source: '/dev/urandom' } as const,
};
const bare = '<domain><name>web</name><devices></devices></domain>';
const plugged = bare.replace('</devices>', `<rng><alias name='${deviceName}'/></rng></devices>`);

/**
 * A virsh of one domain, whose files say what it answers: `absent`, `away`, `late` (it does what it refuses), `info`,
 * `live.xml`, `config.xml`.
 */
const virshIn = (root: string): string => `#!/bin/sh
cd ${root} && shift 2
[ "$1" = --quiet ] && shift
echo "$*" >> calls
no() { echo "error: $1" >&2; exit 1; }
persistent() { grep -q 'Persistent: *yes' info; }
[ -e away ] && no 'failed to connect to the hypervisor'
[ "$1" = list ] && { [ -e absent ] || echo ${instanceId}; exit 0; }
[ -e absent ] && no 'failed to get domain'
case "$*" in *--config*) persistent || no 'Requested operation is not valid: transient domains do not have any persistent config' ;; esac
fill() {
  case "$*" in *--live*) cp "$xml" live.xml ;; esac
  case "$*" in *--config*) cp "$xml" config.xml ;; esac
}
case "$*" in
dominfo*) cat info ;;
dumpxml*--inactive) if persistent; then cat config.xml; else cat live.xml; fi ;;
dumpxml*) cat live.xml ;;
detach-device-alias*) xml=bare.xml; fill "$@" ;;
attach-device*)
  xml=plugged.xml
  [ -e refused ] || fill "$@"
  [ -e late ] || [ -e refused ] && no 'Requested operation is not valid: PCI device 0000:21:00.0 is in use by driver QEMU, domain web'
  exit 0 ;;
esac
`;

let root = '';

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'cyborg-libvirt-'));
  const virsh = join(root, 'virsh');
  await writeFile(virsh, virshIn(root));
  await chmod(virsh, 0o755);
  process.env['PATH'] = `${root}${delimiter}${process.env['PATH'] ?? ''}`;
});
afterAll(async () => await rm(root, { recursive: true, force: true }));

async function say(name: string, text = ''): Promise<void> {
  await writeFile(join(root, name), text);
}

async function silence(name: string): Promise<void> {
  await rm(join(root, name), { force: true });
}

interface Domain {
  readonly persistent?: boolean;
  readonly live?: string;
  readonly config?: string;
}

async function domain({ persistent = true, live = bare, config = live }: Domain): Promise<void> {
  for (const name of ['absent', 'away', 'late', 'refused']) await silence(name);
  await say('calls');
  await say('info', `State:          running\nPersistent:     ${persistent ? 'yes' : 'no'}\n`);
  const files = { bare, plugged, live, config };
  for (const [name, text] of Object.entries(files)) await say(`${name}.xml`, text);
}

async function callsOf(command: string): Promise<string[]> {
  const lines = (await readFile(join(root, 'calls'), 'utf8')).split('\n');
  return lines.filter((line) => line.startsWith(command));
}

interface World {
  readonly commandLine?: readonly string[];
  readonly clock?: Clock;
}

async function open({
  commandLine = ['/usr/bin/sh'],
  clock = systemClock,
}: World = {}): Promise<Hypervisor> {
  // After PATH was set: the adapter's children get the environment as it is when the module is read.
  const { openLibvirtHypervisor } = await import('./libvirt.ts');
  const procRoot = join(root, 'proc');
  await mkdir(join(procRoot, '77'), { recursive: true });
  await writeFile(join(procRoot, '77', 'cmdline'), commandLine.join('\0'));
  return await openLibvirtHypervisor({
    uri: 'test:///none',
    clock,
    rng: systemRng,
    directory: join(root, 'plugs'),
    procRoot,
    vfioFile: null,
  });
}

const { signal } = new AbortController();

describe('a domain that libvirt does not know', () => {
  const unavailable = { code: 'unavailable' };
  const { looksApartMs } = absenceLimits;

  it('is not gone while its machine runs: libvirtd may be starting', async ({ expect }) => {
    await domain({});
    await say('absent');
    const clock = makeTestClock();
    const commandLine = ['/usr/bin/qemu-system-x86_64', '-uuid', instanceId];
    await using hypervisor = await open({ commandLine, clock });
    const mayRun = { ...unavailable, message: expect.stringContaining('is it starting') };
    await expect(hypervisor.plug(order, signal)).rejects.toMatchObject(mayRun);
    await clock.advance(looksApartMs);
    await expect(hypervisor.plug(order, signal)).rejects.toMatchObject(mayRun);
    await expect(hypervisor.unplug(order, signal)).rejects.toMatchObject(mayRun);
  });

  it('is gone with its machine when a look 10 s later lacks it as well', async ({ expect }) => {
    await domain({ live: plugged });
    const clock = makeTestClock();
    await using hypervisor = await open({ clock });
    await hypervisor.list(signal);
    await say('absent');
    await expect(hypervisor.unplug(order, signal)).rejects.toMatchObject(unavailable);
    await expect(hypervisor.plug(order, signal)).rejects.toMatchObject(unavailable);
    await clock.advance(looksApartMs - 1);
    await expect(hypervisor.unplug(order, signal)).rejects.toMatchObject(unavailable);
    await clock.advance(1);
    await expect(hypervisor.plug(order, signal)).rejects.toMatchObject({ code: 'instance-gone' });
    await hypervisor.unplug(order, signal);
  });

  it('is gone at once when a listing lacked it 10 s before', async ({ expect }) => {
    await domain({});
    const clock = makeTestClock();
    await using hypervisor = await open({ clock });
    await hypervisor.list(signal);
    await say('absent');
    await hypervisor.list(signal);
    await clock.advance(looksApartMs);
    await hypervisor.unplug(order, signal);
    expect(await callsOf('detach')).toEqual([]);
  });

  it.for([
    ['knew it', 'absent'],
    ['was away', 'away'],
  ] as const)('is missed anew after libvirt %s in between', async ([, what], { expect }) => {
    await domain({});
    const clock = makeTestClock();
    await using hypervisor = await open({ clock });
    await say('absent');
    await expect(hypervisor.unplug(order, signal)).rejects.toMatchObject(unavailable);
    await clock.advance(looksApartMs);
    if (what === 'away') await say('away');
    else await silence('absent');
    await hypervisor.list(signal).catch(() => undefined);
    await silence('away');
    await say('absent');
    await expect(hypervisor.unplug(order, signal)).rejects.toMatchObject(unavailable);
  });
});

describe('a domain that has no configuration of its own', () => {
  it('is given a device, and gives it back, where it runs alone', async ({ expect }) => {
    await domain({ persistent: false });
    await using hypervisor = await open();
    await hypervisor.plug(order, signal);
    expect(await callsOf('attach-device')).toEqual([expect.stringMatching(/\.xml --live$/)]);
    await hypervisor.unplug(order, signal);
    const asked = `detach-device-alias ${instanceId} ${deviceName} --live`;
    expect(await callsOf('detach-device-alias')).toEqual([asked]);
  });
});

describe('a refusal of libvirt', () => {
  it('is none when what was asked is done: an earlier try ended late', async ({ expect }) => {
    await domain({});
    await say('late');
    await using hypervisor = await open();
    await hypervisor.plug(order, signal);
    expect(await callsOf('attach-device')).toHaveLength(1);
  });

  it('stands when the device is nowhere, or only where it was', async ({ expect }) => {
    const refused = { code: 'refused', message: expect.stringContaining('in use by driver QEMU') };
    await using hypervisor = await open();
    for (const live of [bare, plugged]) {
      await domain({ live, config: bare });
      await say('refused');
      await expect(hypervisor.plug(order, signal)).rejects.toMatchObject(refused);
    }
  });
});

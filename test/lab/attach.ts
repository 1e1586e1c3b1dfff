/** What the attach tests share: the configuration that gives the lab's cards out, and what must be as it was. */
import { eventually } from '@cyborg/testing/processes';

import type { LabGuest, SeenFunction } from './guests.ts';
import { patientMs, type Lab } from './lab.ts';
import type { Accelerator, Site } from './site.ts';

export const cards = {
  nvmePf: '0000:21:00.0',
  nvmeVf: '0000:21:00.1',
  crypto: '0000:22:00.0',
  display: '0000:42:00.0',
  edu: '0000:00:10.0',
  eduPair: ['0000:44:01.0', '0000:44:02.0'],
  /** In the pair's IOMMU group; its hot-plug driver would keep the group from guests. */
  eduBridge: '0000:43:00.0',
  mounted: '0000:47:00.0',
} as const;

const accepted = { accepted: true, reason: 'the lab’s edu has no memory to clean' } as const;
/** A disk keeps what was written to it, and the driver does not erase disks. */
const emptyDisk = { accepted: true, reason: 'the lab’s namespace has nothing on it' } as const;

/** A rule offers the mounted disk: what the host uses is refused all the same. */
const configOf = (offered: { readonly offer?: true }) =>
  ({
    classes: [],
    rules: [
      { address: cards.nvmePf, vfs: { count: 2 }, type: 'SSD' },
      { address: '0000:21:0*', type: 'SSD', resetless: emptyDisk, ...offered },
      { vendor: '1234', device: '11e8', unbind: 'idle', resetless: accepted, ...offered },
      { address: cards.display, ...offered },
      { vendor: '1af4', device: '1054', type: 'CRYPTO', unbind: 'idle', ...offered },
      { address: cards.mounted, type: 'SSD', offer: true },
    ],
  }) as const;

/** Everything that tests attach needs no approval: a rule offers it. */
export const cardsConfig = configOf({ offer: true });
/** Somebody has to approve them first. */
export const unapprovedConfig = configOf({});

/** Once it is listed: approves it where it needs that, as an operator does. */
export async function approved(site: Site, address: string): Promise<Accelerator> {
  const { id, state } = await untilListed(site, address);
  if (state === 'withheld') await site.succeeds('accelerator-update', id, '--state', 'available');
  return await untilAvailable(site, address);
}

/** What is to be the same after an attach and a detach as before. */
export async function stateOf(lab: Lab, addresses: readonly string[]): Promise<string> {
  const each = addresses.map((address) => {
    const folder = `/sys/bus/pci/devices/${address}`;
    const driver = `$(basename $(readlink ${folder}/driver) 2>/dev/null)`;
    // (shpchp enables its bridge once more each time that it is bound: the kernel's count only grows.)
    const enable = address === cards.eduBridge ? '' : ` enable=$(cat ${folder}/enable)`;
    return `echo ${address} driver=${driver} override=$(cat ${folder}/driver_override)${enable} config=$(od -An -v -tx1 -N256 ${folder}/config | tr -d '\\n ')`;
  });
  const nodes = 'ls /dev/vfio; ls /sys/bus/pci/drivers/vfio-pci | grep 0000; true';
  return withoutDecoding(await lab.run(`${each.join('; ')}; ${nodes}`));
}

/** After its first use by VFIO the kernel leaves a function's memory and port decoding on. */
function withoutDecoding(state: string): string {
  return state.replaceAll(/(?<= config=\w{8})\w\w/g, (command) =>
    (Number.parseInt(command, 16) & ~0b11).toString(16).padStart(2, '0'),
  );
}

/** What a guest's QEMU has: devices and their backends, without the addresses that the guest's kernel gives them. */
export async function machineOf(guest: LabGuest): Promise<unknown> {
  const ask = async (command: string): Promise<unknown> =>
    JSON.parse(await guest.lab.run(`nested --name ${guest.name} qmp ${command}`), (key, value) =>
      /_range$|^regions$/.test(key) ? null : value,
    );
  const list = (path: string): Promise<unknown> => ask(`qom-list '{"path": "${path}"}'`);
  return {
    pci: await ask('query-pci'),
    devices: await list('/machine/peripheral'),
    backends: await list('/objects'),
  };
}

/** Attaches by the command line and waits until the guest's kernel sees functions with these ids. */
export async function attach(
  site: Site,
  guest: LabGuest,
  { ids, names }: { readonly ids: readonly string[]; readonly names: readonly string[] },
): Promise<readonly SeenFunction[]> {
  await askToAttach(site, guest, names);
  return await eventually(
    () => {
      const seen = guest.plugged();
      const found = seen.map((one) => one.ids).toSorted();
      return JSON.stringify(found) === JSON.stringify(ids.toSorted()) && seen;
    },
    {
      timeoutMs: patientMs,
      pauseMs: 200,
      what: `${guest.name} sees ${ids.join()}`,
      context: () => `${guest.lines.slice(-20).join('\n')}\n${site.logs()}`,
    },
  );
}

/** What is refused while the agent of an emulated machine is late for a moment, and only then. */
export const mayPass = /is down: its agent|is stale/;

async function askToAttach(site: Site, guest: LabGuest, names: readonly string[]): Promise<void> {
  const wanted = names.flatMap((name) => ['--accelerator', name]);
  const refusal = await eventually(
    async () => {
      const { status, stderr } = await site.cyborg('attach-instance', guest.uuid, ...wanted);
      if (status === 0) return '';
      return mayPass.test(stderr.replaceAll(/\s+/g, ' ')) ? undefined : `exit ${status}\n${stderr}`;
    },
    {
      timeoutMs: patientMs,
      pauseMs: 1_000,
      what: `${names.join()} can be asked for`,
      context: () => site.logs(),
    },
  );
  if (refusal !== '') throw new Error(`cyborg attach-instance: ${refusal}\n${site.logs()}`);
}

/** Detaches all by the command line, which returns when they are clean; waits until the guest sees none. */
export async function detach(site: Site, guest: LabGuest): Promise<void> {
  await site.succeeds('detach-instance', guest.uuid);
  await eventually(() => guest.plugged().length === 0, {
    timeoutMs: patientMs,
    pauseMs: 200,
    what: `${guest.name} sees none of them any more`,
    context: () => `${guest.lines.slice(-20).join('\n')}\n${site.logs()}`,
  });
}

export async function untilListed(site: Site, address: string): Promise<Accelerator> {
  return await eventually(async () => await site.at(address), {
    timeoutMs: patientMs,
    pauseMs: 200,
    what: `${address} is listed`,
    context: () => site.logs(),
  });
}

export async function untilAvailable(site: Site, address: string): Promise<Accelerator> {
  return await eventually(
    async () => {
      const one = await site.at(address);
      return one.state === 'available' && one;
    },
    {
      timeoutMs: patientMs,
      pauseMs: 200,
      what: `${address} is available`,
      context: () => site.logs(),
    },
  );
}

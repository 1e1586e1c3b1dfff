/** Two `pci` backends with disjoint rules and one `virtual` on each of two hosts, through the CLI. */
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { Fleet, actMs, type Accelerator } from './fleet.ts';
import { settled } from './settled.ts';

interface BackendRow {
  name: string;
  host: string;
  kind: string;
  state: string;
  config: Record<string, unknown>;
  accelerators_total: number;
  accelerators_free: number;
}

async function installAll(fleet: Fleet): Promise<void> {
  const on = ['--host', 'host-1', '--host', 'host-2', '--kind', 'pci', '--config', 'offer=all'];
  const classes = (list: string): string[] => ['--config', `classes=${list}`];
  const generic = ['install-driver', 'generic', '--backend'];
  await fleet.cliJson(...generic, 'fpgas', ...on, ...classes('["12"]'));
  await fleet.cliJson(...generic, 'crypto-cards', ...on, ...classes('["0b40","10"]'));
  await fleet.installVirtual(['host-1', 'host-2'], { crypto: 1, entropy: 1 });
}

function backendsOf(fleet: Fleet): Promise<BackendRow[]> {
  return fleet.cliJson<BackendRow[]>('backend-list');
}

describe('several backends of one driver on two hosts', () => {
  it('pass full create, read, update and delete by the CLI', async ({ expect }) => {
    await using fleet = await Fleet.open();
    await fleet.startServer();
    const [one] = await fleet.addHosts(['host-1', 'host-2']);
    await installAll(fleet);

    const names = (rows: BackendRow[]): string[] =>
      rows.map(({ host, name }) => `${host}@${name}`).toSorted();
    const all = ['host-1', 'host-2'].flatMap((host) =>
      ['crypto-cards', 'fpgas', 'soft'].map((name) => `${host}@${name}`),
    );
    const backends = await backendsOf(fleet);
    expect(names(backends)).toEqual(all);
    expect(backends.map(({ state }) => state)).toEqual(Array.from({ length: 6 }, () => 'ready'));
    const fpgas = await fleet.cliJson<BackendRow>('backend-show', 'host-1@fpgas');
    expect(fpgas).toMatchObject({ kind: 'pci', config: { classes: ['12'], offer: 'all' } });
    expect(fpgas).toMatchObject({ accelerators_total: 2, accelerators_free: 2 });

    // Rules that claim one function are refused, and both are named.
    const again = 'install-driver generic --backend again --kind pci --host host-2 --config';
    const overlap = await fleet.cli(...again.split(' '), 'classes=["10"]');
    expect(overlap.status).toBe(1);
    expect(overlap.stderr).toContain('again');
    expect(overlap.stderr).toContain('crypto-cards');

    // Update: one setting, the others stay.
    await fleet.cliJson('update-driver', 'generic', '--backend', 'soft', '--config', 'crypto=3');
    expect(await fleet.cliJson('backend-show', 'host-2@soft')).toMatchObject({
      config: { crypto: 3, entropy: 1 },
      accelerators_total: 4,
    });

    // One more software accelerator; named, labelled, found, taken away again.
    const create = 'accelerator-create host-1@soft --function entropy --name lava-lamp';
    const made = await fleet.cliJson<Accelerator>(...create.split(' '));
    expect(made).toMatchObject({ name: 'lava-lamp', backend: 'soft' });
    await eventually(
      async () => (await fleet.v3.showAccelerator({ params: made })).state === 'available',
      { timeoutMs: actMs, what: 'its host has it', context: () => fleet.logs() },
    );
    await fleet.cliJson('accelerator-update', made.id, '--label', 'wall=7', '--name', 'lamp');
    expect(await fleet.cliJson('accelerator-show', made.id)).toMatchObject({
      name: 'lamp',
      labels: { wall: '7' },
    });
    const vm = await fleet.instance('host-1');
    await fleet.cliJson('attach-instance', vm, '--accelerator', made.id);
    const held = await fleet.cli('accelerator-delete', made.id);
    expect(held.status).toBe(1);
    expect(held.stderr).toContain(vm);
    await fleet.cliJson('detach-instance', vm, '--accelerator', made.id);
    expect((await fleet.cli('accelerator-delete', made.id)).status).toBe(0);
    expect((await fleet.cli('accelerator-show', made.id)).status).toBe(1);

    // A PCI function really goes into a guest, too.
    const [card] = await fleet.accelerators({ backend: 'host-1@fpgas' });
    await fleet.cliJson('attach-instance', vm, '--accelerator', card?.id ?? '');
    await settled(fleet);
    expect(one?.devices()).toHaveLength(1);

    // In use: refused with who uses it.
    const refused = await fleet.cli('uninstall-driver', 'generic');
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain(vm);
    await fleet.cliJson('detach-instance', vm);

    // Delete: one backend everywhere, then one host, then all.
    await fleet.cliJson('uninstall-driver', 'generic', '--backend', 'fpgas');
    expect(names(await backendsOf(fleet))).toEqual(all.filter((name) => !name.endsWith('@fpgas')));
    await fleet.cliJson('uninstall-driver', 'generic', '--host', 'host-1');
    expect(names(await backendsOf(fleet))).toEqual(['host-2@crypto-cards', 'host-2@soft']);
    await fleet.cliJson('uninstall-driver', 'generic');
    expect(await backendsOf(fleet)).toEqual([]);
    expect(await fleet.accelerators()).toEqual([]);
    await settled(fleet);
  });

  it('are left orphaned by an uninstall that keeps them attached, which is an event with its actor', async ({
    expect,
  }) => {
    await using fleet = await Fleet.open();
    await fleet.startServer();
    const [one] = await fleet.addHosts(['host-1']);
    await fleet.installVirtual(['host-1'], { crypto: 2, entropy: 0 });
    const vm = await fleet.instance('host-1');
    await fleet.attach(vm);

    await fleet.cliJson('uninstall-driver', 'generic', '--keep-attached');

    expect(await fleet.accelerators()).toMatchObject([{ state: 'orphaned', instance_id: vm }]);
    expect(one?.devices()).toHaveLength(1);
    const [forced] = await fleet.events('driver.forced-uninstall');
    expect(forced?.user_id).toMatch(/./);

    // Installed again, it is attached again, and can be given back.
    await fleet.installVirtual(['host-1'], { crypto: 2, entropy: 0 });
    await fleet.untilAttachable();
    await settled(fleet);
    await fleet.detach(vm);
    expect(await fleet.accelerators({ state: 'available' })).toHaveLength(2);
  });

  it('left so are given back without their driver, and cleaned by whoever has them next', async ({
    expect,
  }) => {
    await using fleet = await Fleet.open();
    await fleet.startServer();
    const [one] = await fleet.addHosts(['host-1']);
    const install = (name: string) => {
      const kind = ['--kind', 'pci', '--config', 'offer=all', '--config', 'classes=["12"]'];
      return fleet.cliJson('install-driver', 'generic', '--backend', name, ...kind);
    };
    await install('fpgas');
    await fleet.untilAttachable();
    const vm = await fleet.instance('host-1');
    await fleet.cliJson('attach-instance', vm);
    await fleet.cliJson('uninstall-driver', 'generic', '--keep-attached');
    await install('again');
    await eventually(async () => (await fleet.accelerators({ backend: 'again' })).length === 2, {
      timeoutMs: actMs,
      what: 'the next backend has looked',
      context: () => fleet.logs(),
    });
    await fleet.cliJson('detach-instance', vm);
    expect(one?.devices()).toEqual([]);
    await eventually(
      async () => {
        const all = await fleet.accelerators();
        return all.length === 2 && all.every((row) => row.state === 'available');
      },
      { timeoutMs: actMs, what: 'both are the next one’s', context: () => fleet.logs() },
    );
    expect(await fleet.accelerators()).toMatchObject([{ backend: 'again' }, { backend: 'again' }]);
    await settled(fleet);
  });
});

import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import type { HostNeeds } from '@cyborg/driver-package/needs';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { describe, it } from 'vitest';
import { TestMachine } from '../../test/machine.ts';
import { HostPreparation, type HostPreparationDeps } from './host-preparation.ts';

type Change = Partial<HostPreparationDeps>;

const log = makeLogger({ name: 'test', level: 'silent', clock: systemClock });

/** `prepare` and `undo` for backends by name, of a driver whose kind `demo` needs this. */
async function makeAgent(machine: TestMachine, needs: HostNeeds, change: Change = {}) {
  const stateDir = join(machine.root, 'state');
  const folder = join(machine.root, 'driver');
  for (const path of [stateDir, folder]) await mkdir(path, { recursive: true });
  const manifest = { kinds: [{ kind: 'demo', title: 'x', needs }] };
  await writeFile(join(folder, 'manifest.json'), JSON.stringify(manifest));
  const preparation = new HostPreparation({
    clock: systemClock,
    log,
    roots: machine.roots,
    hostRoot: machine.root,
    stateDir,
    simulated: false,
    allowedModules: [],
    commands: machine.commands,
    ...change,
  });
  const pkg: DriverPackage = {
    id: 'acme',
    version: '1.0.0',
    folder,
    main: join(folder, 'main'),
    runtime: 'program',
    codeRoot: folder,
  };
  return {
    prepare: (id: string, kind = 'demo') => preparation.prepare(pkg, { id, kind }),
    undo: (id: string) => preparation.undo(id),
    load: (module: string, id: string) => preparation.loadModule(module, id),
  };
}

const card = { modules: ['acme-card'] };
const allowed = { allowedModules: ['acme_card'] };

describe('a kernel module that a driver needs', () => {
  it('is not loaded unless host policy says so, and the sentence has both ways out', async ({
    expect,
  }) => {
    await using machine = await TestMachine.make();
    const agent = await makeAgent(machine, card);
    expect(await agent.prepare('b1')).toMatch(/modprobe acme-card.*--load-module acme-card/);
    expect(machine.acts()).toEqual([]);
    machine.load('acme_card');
    expect(await agent.prepare('b1')).toBeUndefined();
  });

  it('is loaded when it may be, once, and taken out when the last backend that needs it goes', async ({
    expect,
  }) => {
    await using machine = await TestMachine.make();
    const agent = await makeAgent(machine, card, allowed);
    expect(await Promise.all([agent.prepare('b1'), agent.prepare('b2')])).toEqual([
      undefined,
      undefined,
    ]);
    expect(machine.acts()).toEqual(['load acme-card']);
    // Another run of the agent knows what the one before had loaded.
    const next = await makeAgent(machine, card, allowed);
    await next.undo('b1');
    expect(machine.modules()).toEqual(['acme_card']);
    await next.undo('b2');
    expect(machine.modules()).toEqual([]);
    expect(machine.acts()).toEqual(['load acme-card', 'unload acme_card']);
  });

  it('stays while somebody uses it, and when it is not ours', async ({ expect }) => {
    await using machine = await TestMachine.make();
    const agent = await makeAgent(machine, card, allowed);
    await agent.prepare('b1');
    machine.load('acme_card', 2);
    await agent.undo('b1');
    expect(machine.modules()).toEqual(['acme_card']);
    // The next uninstall looks again.
    machine.load('acme_card', 0);
    await agent.undo('other');
    expect(machine.modules()).toEqual([]);

    machine.load('acme_card');
    await agent.prepare('b1');
    await agent.undo('b1');
    expect(machine.modules()).toEqual(['acme_card']);
    expect(machine.acts()).toEqual(['load acme-card', 'unload acme_card']);
  });

  it('that was loaded before the machine was restarted is not ours any more', async ({
    expect,
  }) => {
    await using machine = await TestMachine.make();
    const agent = await makeAgent(machine, card, allowed);
    await agent.prepare('b1');
    machine.boot('quiet');
    machine.load('acme_card');
    const next = await makeAgent(machine, card, allowed);
    expect(await next.prepare('b1')).toBeUndefined();
    await next.undo('b1');
    expect(machine.modules()).toEqual(['acme_card']);
  });

  it('that cannot be loaded blocks, with what modprobe said', async ({ expect }) => {
    await using machine = await TestMachine.make();
    machine.refuseModules();
    const agent = await makeAgent(machine, card, allowed);
    expect(await agent.prepare('b1')).toMatch(/could not .*Key was rejected by service/);
    await agent.undo('b1');
    expect(machine.acts()).toEqual(['load acme-card']);
  });

  it('may be a part of the kernel', async ({ expect }) => {
    await using machine = await TestMachine.make();
    const folder = join(machine.root, 'lib/modules/6.1.0-test');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'modules.builtin'), 'kernel/drivers/acme/acme-card.ko\n');
    const agent = await makeAgent(machine, card);
    expect(await agent.prepare('b1')).toBeUndefined();
  });

  it('that a driver asks for itself is under the same policy', async ({ expect }) => {
    await using machine = await TestMachine.make();
    const agent = await makeAgent(machine, {}, allowed);
    expect(await agent.load('other', 'b1')).toContain('--load-module other');
    expect(await agent.load('acme-card', 'b1')).toBeUndefined();
    await agent.undo('b1');
    expect(machine.acts()).toEqual(['load acme-card', 'unload acme_card']);
  });

  it('is taken for loaded on a recorded machine, when policy allows it', async ({ expect }) => {
    await using machine = await TestMachine.make();
    const agent = await makeAgent(machine, card, { ...allowed, simulated: true });
    expect(await agent.prepare('b1')).toBeUndefined();
    expect(machine.acts()).toEqual([]);
  });
});

describe('what only a person can do', () => {
  it('is said: kernel arguments, of which one of several may be enough, with a restart', async ({
    expect,
  }) => {
    await using machine = await TestMachine.make();
    const needs = { kernel_arguments: ['iommu=', ['intel_iommu=on', 'amd_iommu=on']] };
    const agent = await makeAgent(machine, needs);
    const said = await agent.prepare('b1');
    expect(said).toMatch(/kernel argument iommu= .*restart the host when it suits/);
    expect(said).toContain('intel_iommu=on or amd_iommu=on');
    machine.boot('quiet iommu=pt "amd_iommu=on"');
    expect(await agent.prepare('b1')).toBeUndefined();
    machine.boot('quiet iommu=pt xamd_iommu=on');
    expect(await agent.prepare('b1')).toContain('intel_iommu=on');
  });

  it('is said: huge pages, with how many there are', async ({ expect }) => {
    await using machine = await TestMachine.make();
    const needs = { hugepages: [{ size_kib: 2048, count: 512 }] };
    const agent = await makeAgent(machine, needs);
    expect(await agent.prepare('b1')).toContain('its kernel has none of that size');
    machine.giveHugepages(2048, 100);
    expect(await agent.prepare('b1')).toMatch(/512 huge pages of 2048 KiB \(it has 100\)/);
    machine.giveHugepages(2048, 512);
    expect(await agent.prepare('b1')).toBeUndefined();
  });

  it('is of the kind, and of the driver; another kind needs nothing', async ({ expect }) => {
    await using machine = await TestMachine.make();
    const agent = await makeAgent(machine, card);
    expect(await agent.prepare('b1', 'another')).toBeUndefined();
    const file = join(machine.root, 'driver/manifest.json');
    await writeFile(file, JSON.stringify({ needs: card, kinds: [{ kind: 'demo', title: 'x' }] }));
    expect(await agent.prepare('b1')).toContain('modprobe acme-card');
    await writeFile(file, JSON.stringify({ needs: { modules: ['a b'] } }));
    await expect(agent.prepare('b1')).rejects.toThrow(/needs\.modules\[0\]/);
  });

  it.runIf(existsSync('/var/lib/dpkg/status'))(
    'is said: packages of this very machine',
    async ({ expect }) => {
      await using machine = await TestMachine.make();
      const needs = { packages: { deb: ['dpkg', 'acme-driver-tools'], rpm: ['other'] } };
      const agent = await makeAgent(machine, needs, { hostRoot: '/' });
      expect(await agent.prepare('b1')).toBe(
        'install the package acme-driver-tools (apt-get install acme-driver-tools)',
      );
    },
  );
});

/** A driver is taken away by force while an instance has something of it, and everything dies on the way. */
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { Fleet, type Host } from './fleet.ts';
import { settled } from './settled.ts';

const longMs = 60_000;
const params = { driver_id: 'generic' };

async function openScene(): Promise<{ fleet: Fleet; host: Host; vm: string }> {
  const fleet = await Fleet.open();
  await fleet.startServer();
  const [host] = await fleet.addHosts(['host-1']);
  if (host === undefined) throw new Error('no host');
  await fleet.installVirtual(['host-1'], { crypto: 2, entropy: 0 });
  const vm = await fleet.instance('host-1');
  await fleet.attach(vm);
  return { fleet, host, vm };
}

describe('a driver whose accelerator an instance has', { retry: 0 }, () => {
  it('is refused with the user; with --force it is detached, cleaned and gone, though agent, driver and server die', async ({
    expect,
  }) => {
    const { fleet, host, vm } = await openScene();
    await using _ = fleet;
    const refused = await fleet.cli('uninstall-driver', 'generic');
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain(vm);
    expect(refused.stderr).toContain('--keep-attached');

    // The host is away, so the wish is all that there is.
    await host.kill();
    const asked = await fleet.v3.uninstallDriver({ params, query: { force: true } });
    const state = async (): Promise<string | undefined> =>
      (await fleet.cliJson<{ state: string }[]>('backend-list'))[0]?.state;
    expect(await state()).toBe('draining');
    const again = await fleet.cli('attach-instance', vm, '--no-wait');
    expect(again.status).not.toBe(0);
    await fleet.server?.end('SIGKILL');
    await fleet.startServer();
    expect(await state()).toBe('draining');

    // The guest does not let go until the driver has been killed: it is needed for so long.
    const kept = host.fault('guest-refuses', '100');
    host.start();
    await eventually(() => Promise.resolve(host.drivers().length > 0), {
      timeoutMs: longMs,
      what: 'the driver runs again',
      context: () => fleet.logs(),
    });
    host.killDrivers();
    kept[Symbol.dispose]();
    await fleet.done(asked, longMs);
    expect(host.devices()).toEqual([]);
    expect(await fleet.accelerators()).toEqual([]);
    expect(await state()).toBeUndefined();
    await eventually(() => host.drivers().length === 0, {
      timeoutMs: longMs,
      what: 'its driver has ended',
      context: () => fleet.logs(),
    });
    const kinds = (await fleet.events()).map(({ kind }) => kind);
    for (const kind of ['driver.forced-uninstall', 'backend.draining', 'accelerator.cleaned']) {
      expect(kinds).toContain(kind);
    }
    await settled(fleet);
  });

  it('leaves it attached with --keep-attached, says so, and takes it up again when it is installed', async ({
    expect,
  }) => {
    const { fleet, host, vm } = await openScene();
    await using _ = fleet;
    const devices = host.devices();
    const asked = await fleet.v3.uninstallDriver({ params, query: { keep_attached: true } });
    await host.kill();
    host.start();
    await fleet.done(asked, longMs);
    const [kept] = await fleet.accelerators();
    expect(kept).toMatchObject({
      state: 'orphaned',
      reason: 'its driver was uninstalled by force',
      instance_id: vm,
    });
    expect(host.devices()).toEqual(devices);

    await fleet.installVirtual(['host-1'], { crypto: 2, entropy: 0 });
    await eventually(
      async () =>
        (await fleet.accelerators({ state: 'attached' })).some(({ id }) => id === kept?.id),
      { timeoutMs: longMs, what: 'it is attached as before', context: () => fleet.logs() },
    );
    expect(host.devices()).toEqual(devices);
    await fleet.detach(vm);
    await settled(fleet);
  });
});

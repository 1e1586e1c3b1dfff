/** A vendor's driver that needs something of its hosts: what an operator sees, and what becomes of it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { makePublisher, publishAcme } from './acme.ts';
import { Fleet } from './fleet.ts';
import { settled } from './settled.ts';

const longMs = 60_000;
const params = { driver_id: 'acme' };

interface Shown {
  readonly state: string;
  readonly reason: string | null;
}

describe('a driver whose manifest needs a kernel argument', () => {
  it('is blocked with what to do, wherever one looks, and goes on when the host was started with it', async ({
    expect,
  }) => {
    await using fleet = await Fleet.open();
    const publisher = makePublisher(join(fleet.folder, 'keys'));
    const args = ['--driver-key', publisher.publicFile];
    await fleet.startServer({ args });
    const [host] = await fleet.addHosts(['host-1'], { args });
    if (host === undefined) throw new Error('no host');
    const cmdline = join(host.folder, 'machine', 'proc', 'cmdline');
    writeFileSync(cmdline, 'quiet\n');
    const needs = { kernel_arguments: ['acme_cards=on'] };
    await publishAcme(fleet, publisher, { version: '1.0.0', needs });

    const failed = await fleet.cli('install-driver', 'acme');
    expect(failed.status, failed.stdout).toBe(1);
    expect(failed.stderr).toMatch(/add the kernel argument acme_cards=on .*restart the host/s);
    // The host tells of the driver and of its backends, be it in two reports.
    const backend = await eventually(
      async () => {
        const [installation] = (await fleet.v3.showDeployment({ params })).installations;
        const shown = await fleet.cliJson<Shown>('backend-show', 'host-1@acme');
        return shown.state === 'blocked' && installation?.state === 'blocked' && shown;
      },
      { timeoutMs: longMs, what: 'driver and backend are blocked', context: () => fleet.logs() },
    );
    expect(backend.reason).toContain('acme_cards=on');
    const drivers = await fleet.cliJson<{ id: string }[]>('driver-list');
    const { reason } = backend;
    expect(drivers.find(({ id }) => id === 'acme')).toMatchObject({
      needs,
      blocked: [{ host: 'host-1', backend: 'acme', reason }],
    });
    const table = await fleet.cli('driver-show', 'acme', '-f', 'table');
    expect(table.stdout).toContain('acme_cards=on');
    expect(await fleet.cliJson('host-show', 'host-1')).toMatchObject({
      conditions: [{ kind: 'setup-required', message: `backend acme: ${reason}` }],
    });
    const [installation] = (await fleet.v3.showDeployment({ params })).installations;
    expect(installation).toMatchObject({ state: 'blocked', reason: `acme: ${reason}` });
    expect((await fleet.events('backend.blocked')).at(-1)?.data).toMatchObject({ reason });

    // A person does it.
    await host.kill();
    writeFileSync(cmdline, 'quiet acme_cards=on\n');
    host.start();
    await eventually(
      async () => (await fleet.cliJson<Shown>('backend-show', 'host-1@acme')).state === 'ready',
      { timeoutMs: longMs, what: 'the backend is ready', context: () => fleet.logs() },
    );
    expect(await fleet.cliJson('host-show', 'host-1')).toMatchObject({ conditions: [] });
    await fleet.untilAttachable(longMs);
    await fleet.attach(await fleet.instance('host-1'), { driver: 'acme', count: 1 });

    // A version that needs more is not switched to.
    const more = { kernel_arguments: ['acme_cards=on', 'acme_turbo'] };
    await publishAcme(fleet, publisher, { version: '2.0.0', needs: more });
    const updated = await fleet.cli('update-driver', 'acme');
    expect(updated.status).toBe(1);
    expect(updated.stderr).toMatch(/went back to version 1\.0\.0.*kernel argument acme_turbo/s);

    // Started without it once more: nothing is detached, nothing new is given out.
    await host.kill();
    writeFileSync(cmdline, 'quiet\n');
    host.start();
    await eventually(
      async () => (await fleet.cliJson<Shown>('backend-show', 'host-1@acme')).state === 'blocked',
      { timeoutMs: longMs, what: 'it is blocked again', context: () => fleet.logs() },
    );
    expect(host.devices()).toHaveLength(1);
    const vm = await fleet.instance('host-1');
    expect((await fleet.cli('attach-instance', vm, '--driver', 'acme')).status).not.toBe(0);
    await fleet.detach(vm);
    await settled(fleet);
  });
});

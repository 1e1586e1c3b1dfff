/** A version comes to a fleet, host by host, and goes back by itself where it is wrong; nobody loses anything. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { makePublisher, publishAcme, type Publisher } from './acme.ts';
import { Fleet, type Host, type Operation } from './fleet.ts';
import { commandOf, killNow, startedAt } from './process-tree.ts';

const params = { driver_id: 'acme' };
const longMs = 90_000;
const names = ['host-1', 'host-2', 'host-3'] as const;

/** The first accelerator is the one that is held. */
const findsLess = (program: string): string =>
  program.replace('for number in range(', 'for number in range(1, ');
const diesWhenItStarts = (program: string): string =>
  program.replace('def main():', 'def main():\n    raise SystemExit("no such card")');
/** It looks at its cards no more while there is a file of this name in its folder. */
const waitsFor = (name: string) => (program: string) =>
  program
    .replace(
      'self.host = params["host"]["name"]',
      'self.host = params["host"]["name"]\n        self.folder = params["state_dir"]',
    )
    .replace(
      'def discover(self, params):',
      `def discover(self, params):
        import os, time
        while os.path.exists(os.path.join(self.folder, "${name}")):
            time.sleep(0.05)`,
    );

interface Scene {
  readonly fleet: Fleet;
  readonly publisher: Publisher;
  readonly hosts: readonly Host[];
}

/** Version 1.0.0 runs on every host, and an instance of the first one has an accelerator of it. */
async function openScene(): Promise<Scene> {
  const fleet = await Fleet.open();
  const publisher = makePublisher(join(fleet.folder, 'keys'));
  const args = ['--driver-key', publisher.publicFile];
  await fleet.startServer({ args });
  const hosts = await fleet.addHosts(names, { args });
  await publishAcme(fleet, publisher, { version: '1.0.0' });
  await fleet.done(fleet.v3.installDriver({ params, body: { rollout: { canary: 1 } } }), longMs);
  const found = await eventually(
    async () =>
      (await fleet.accelerators({ host: 'host-1' })).find(({ name }) => name.endsWith('entropy-0')),
    { timeoutMs: longMs, what: 'host-1 has entropy-0', context: () => fleet.logs() },
  );
  await fleet.untilAttachable(longMs);
  await fleet.attach(await fleet.instance('host-1'), { accelerator: found.id });
  return { fleet, publisher, hosts };
}

async function running(fleet: Fleet): Promise<Record<string, string | null>> {
  const { installations } = await fleet.v3.showDeployment({ params });
  return Object.fromEntries(installations.map(({ host, running_version: v }) => [host, v]));
}

async function untilRunning(fleet: Fleet, wanted: Record<string, string>): Promise<void> {
  await eventually(
    async () => {
      const { installations } = await fleet.v3.showDeployment({ params });
      return Object.entries(wanted).every(([host, version]) =>
        installations.some(
          (it) => it.host === host && it.state === 'ready' && it.running_version === version,
        ),
      );
    },
    { timeoutMs: longMs, what: `running ${JSON.stringify(wanted)}`, context: () => fleet.logs() },
  );
}

/** Nothing was taken from anybody since it was attached. */
async function heldOf(fleet: Fleet): Promise<string[]> {
  const held = await fleet.accelerators({ state: 'attached' });
  return held.map(({ id, instance_id: instance }) => `${id} ${instance ?? 'nobody'}`);
}

/** Which host was told of a version, and which said that it runs it, in their order. */
async function storyOf(fleet: Fleet, version: string): Promise<string[]> {
  return (await fleet.events()).flatMap(({ kind, host, data }) => {
    if (kind === 'installation.updating' && data['version'] === version)
      return [`begun on ${host}`];
    const isRunning = kind === 'installation.ready' && data['running_version'] === version;
    return isRunning ? [`runs on ${host}`] : [];
  });
}

async function begunOf(fleet: Fleet, version: string): Promise<string[]> {
  const { installations } = await fleet.v3.showDeployment({ params });
  return installations.filter((it) => it.wanted_version === version).map(({ host }) => host);
}

const all = (version: string): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, version]));

describe('a roll-out', { timeout: 600_000 }, () => {
  it('goes to the canary first; a broken version goes back by itself, and nothing is detached', async ({
    expect,
  }) => {
    const { fleet, publisher, hosts } = await openScene();
    await using _fleet = fleet;
    const [first] = hosts;
    const held = await heldOf(fleet);
    const devices = first?.devices();
    expect(held).toHaveLength(1);

    await publishAcme(fleet, publisher, { version: '2.0.0' });
    const update = await fleet.v3.updateDriver({
      params,
      body: { version: '2.0.0', rollout: { canary: 1, batch: 2 } },
    });
    await fleet.done(update, longMs);
    expect(await running(fleet)).toEqual(all('2.0.0'));
    const story = await storyOf(fleet, '2.0.0');
    expect(story.slice(0, 2)).toEqual(['begun on host-1', 'runs on host-1']);
    expect(new Set(story.slice(2))).toEqual(
      new Set(['host-2', 'host-3'].flatMap((host) => [`begun on ${host}`, `runs on ${host}`])),
    );

    for (const [version, edit, reason] of [
      ['3.0.0', findsLess, 'does not find 1 of the accelerators'],
      ['3.0.1', diesWhenItStarts, 'did not start'],
    ] as const) {
      await publishAcme(fleet, publisher, { version, edit });
      const failed = await fleet.cli('update-driver', 'acme', '--canary', '1');
      expect(failed.status, failed.stdout).toBe(1);
      expect(failed.stderr).toContain(reason);
      expect(failed.stderr).toContain('went back to version 2.0.0');
      await untilRunning(fleet, all('2.0.0'));
      const { rollout_state: state, installations } = await fleet.v3.showDeployment({ params });
      expect(state).toBe('stopped');
      expect(installations.map((it) => it.failed_version)).toEqual([version, null, null]);
    }
    expect(await heldOf(fleet)).toEqual(held);
    expect(first?.devices()).toEqual(devices);
    expect(await fleet.events('installation.rolled-back')).toHaveLength(2);

    const refused = await fleet.cli('uninstall-driver', 'acme');
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain('host-1');
    await fleet.detach(await fleet.instance('host-1'));
    await fleet.done(fleet.v3.uninstallDriver({ params, query: {} }), longMs);
    expect(first?.devices()).toEqual([]);
    expect((await fleet.accelerators({ driver_id: 'acme' })).length).toBe(0);
  });

  it('is paused, goes on, and goes back with what is held in place', async ({ expect }) => {
    const { fleet, publisher, hosts } = await openScene();
    await using _fleet = fleet;
    const held = await heldOf(fleet);
    const devices = hosts[0]?.devices();
    await publishAcme(fleet, publisher, { version: '2.0.0' });
    const rollout = { batch: 1, canary_hosts: ['host-2'], pause_seconds: 600 };
    const update = await fleet.v3.updateDriver({ params, body: { version: '2.0.0', rollout } });
    await untilRunning(fleet, { 'host-2': '2.0.0' });
    await eventually(
      async () => {
        const row = await fleet.db.selectFrom('deployment').selectAll().executeTakeFirstOrThrow();
        return row.rollout_resume_at !== null;
      },
      { timeoutMs: longMs, what: 'the pause has begun' },
    );
    expect(await begunOf(fleet, '2.0.0')).toEqual(['host-2']);
    await fleet.done(fleet.v3.updateDriver({ params, body: { act: 'pause' } }));
    expect(await fleet.v3.showDeployment({ params })).toMatchObject({ rollout_state: 'paused' });

    await fleet.cliJson('update-driver', 'acme', '--resume', '--batch', '5');
    expect(await running(fleet)).toEqual(all('2.0.0'));
    await fleet.done(update, longMs);
    await fleet.cliJson('update-driver', 'acme', '--rollback');
    expect(await running(fleet)).toEqual(all('1.0.0'));
    expect(await heldOf(fleet)).toEqual(held);
    expect(hosts[0]?.devices()).toEqual(devices);
  });

  it('catches up with a host that was away, and begins no failed version on it', async ({
    expect,
  }) => {
    const { fleet, publisher, hosts } = await openScene();
    await using _fleet = fleet;
    const [, , away] = hosts;
    if (away === undefined) throw new Error('no third host');
    await away.kill();
    await eventually(
      async () => (await fleet.v3.showHost({ params: { host: away.name } })).state === 'down',
      { timeoutMs: longMs, what: 'the host is down' },
    );
    await publishAcme(fleet, publisher, { version: '2.0.0' });
    await fleet.v3.updateDriver({ params, body: { version: '2.0.0', rollout: { batch: 1 } } });
    await untilRunning(fleet, { 'host-1': '2.0.0', 'host-2': '2.0.0' });
    away.start();
    await untilRunning(fleet, all('2.0.0'));

    await away.kill();
    await publishAcme(fleet, publisher, { version: '3.0.0', edit: findsLess });
    const body = { version: '3.0.0', rollout: { canary: 1 } };
    const broken = await fleet.v3.updateDriver({ params, body });
    await eventually(
      async () => (await fleet.v3.showDeployment({ params })).rollout_state === 'stopped',
      { timeoutMs: longMs, what: 'the roll-out stops', context: () => fleet.logs() },
    );
    const ended = await fleet.ended(broken, longMs);
    expect(ended.results.filter(isNotBegun)).toHaveLength(2);
    away.start();
    await fleet.untilUp(away);
    await untilRunning(fleet, all('2.0.0'));
    expect(await begunOf(fleet, '3.0.0')).toEqual([]);
  });

  it(
    'survives the death of agent, driver and server in the middle',
    { retry: 0 },
    async ({ expect }) => {
      const { fleet, publisher, hosts } = await openScene();
      await using _fleet = fleet;
      const [first] = hosts;
      if (first === undefined) throw new Error('no host');
      const held = await heldOf(fleet);
      const devices = first.devices();
      await publishAcme(fleet, publisher, { version: '2.0.0', edit: waitsFor('two') });
      const edit = (it: string): string => findsLess(waitsFor('three')(it));
      await publishAcme(fleet, publisher, { version: '3.0.0', edit });
      const args = ['--driver-key', publisher.publicFile];

      const two = holdUp(first, 'two');
      await fleet.v3.updateDriver({ params, body: { version: '2.0.0', rollout: { batch: 1 } } });
      await untilBeside(first, '2.0.0');
      await first.kill();
      first.start();
      await untilBeside(first, '2.0.0');
      await fleet.server?.end('SIGKILL');
      // The one that runs: started first.
      const [running = -1] = driversOf(first);
      killNow(running);
      two[Symbol.dispose]();
      await fleet.startServer({ args });
      await untilRunning(fleet, all('2.0.0'));

      // Killed while the broken one is tried: the one before is started again, and found to find more.
      const three = holdUp(first, 'three');
      await fleet.v3.updateDriver({ params, body: { version: '3.0.0', rollout: { batch: 1 } } });
      await untilBeside(first, '3.0.0');
      await first.kill();
      three[Symbol.dispose]();
      first.start();
      await eventually(
        async () => (await fleet.v3.showDeployment({ params })).rollout_state === 'stopped',
        { timeoutMs: longMs, what: 'the roll-out stops', context: () => fleet.logs() },
      );
      await untilRunning(fleet, all('2.0.0'));
      expect(await heldOf(fleet)).toEqual(held);
      expect(first.devices()).toEqual(devices);
      await eventually(() => lastVersion(first) === '2.0.0', {
        timeoutMs: longMs,
        what: 'the host says on disk that it runs 2.0.0',
      });
    },
  );
});

function isNotBegun({ message }: Operation['results'][number]): boolean {
  return message?.startsWith('not begun') === true;
}

/** What the agent says on disk that it runs. */
function lastVersion({ stateDir }: Host): string | undefined {
  const content: unknown = JSON.parse(readFileSync(join(stateDir, 'running-drivers.json'), 'utf8'));
  return /"version":"([^"]*)"/.exec(JSON.stringify(content))?.[1];
}

/** What `waitsFor` waits for. */
function holdUp({ stateDir }: Host, name: string): Disposable {
  const file = join(stateDir, 'driver-state', params.driver_id, name);
  writeFileSync(file, '');
  return { [Symbol.dispose]: () => rmSync(file) };
}

/** The oldest first. */
function driversOf(host: Host): number[] {
  return host
    .drivers()
    .filter((pid) => commandOf(pid).includes('main.py'))
    .toSorted((a, b) => startedAt(a) - startedAt(b));
}

/** Two processes of the driver run on the host: the one before, and this version, which is being tried. */
async function untilBeside(host: Host, version: string): Promise<void> {
  await eventually(() => lastVersion(host) !== version && driversOf(host).length >= 2, {
    timeoutMs: longMs,
    pauseMs: 20,
    what: `${version} is tried on ${host.name}`,
  });
}

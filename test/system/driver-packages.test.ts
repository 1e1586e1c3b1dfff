/** Drivers that do not come with the release: packed, signed, uploaded, approved, fetched, checked, started. */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { eventually } from '@cyborg/testing/processes';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { makePublisher, packAcme, publishAcme, writeAcme, type Publisher } from './acme.ts';
import { Fleet, type Host } from './fleet.ts';
import { StallingProxy } from './stalling-proxy.ts';

const params = { driver_id: 'acme' };
const longMs = 60_000;

async function openFleet(hosts: readonly string[]): Promise<{
  readonly fleet: Fleet;
  readonly publisher: Publisher;
  readonly hosts: readonly Host[];
}> {
  const fleet = await Fleet.open();
  const publisher = makePublisher(join(fleet.folder, 'keys'));
  const args = ['--driver-key', publisher.publicFile];
  await fleet.startServer({ args });
  return { fleet, publisher, hosts: await fleet.addHosts(hosts, { args }) };
}

async function installationOf(
  fleet: Fleet,
  host: string,
): Promise<{ state: string; running_version: string | null; reason: string | null } | undefined> {
  const { installations } = await fleet.v3.showDeployment({ params });
  return installations.find((it) => it.host === host);
}

async function untilReady(fleet: Fleet, host: string, version: string): Promise<void> {
  await eventually(
    async () => {
      const found = await installationOf(fleet, host);
      return found?.state === 'ready' && found.running_version === version;
    },
    { timeoutMs: longMs, what: `acme ${version} runs on ${host}`, context: () => fleet.logs() },
  );
}

/** Its first inventory comes after the installation is ready. */
async function untilListed(fleet: Fleet, count: number): Promise<void> {
  await eventually(async () => (await fleet.accelerators({ driver_id: 'acme' })).length === count, {
    timeoutMs: longMs,
    what: `${count} accelerators of acme are in the ledger`,
    context: () => fleet.logs(),
  });
  await fleet.untilAttachable(longMs);
}

function tarballsOf({ stateDir }: Host, ending: RegExp): string[] {
  const folder = join(stateDir, 'driver-packages');
  return readdirSync(folder)
    .filter((name) => ending.test(name))
    .map((name) => join(folder, name));
}

describe('a driver package', { timeout: 600_000 }, () => {
  it('is packed, signed, uploaded, approved and installed, and its accelerators are given out', async ({
    expect,
  }) => {
    const { fleet, publisher, hosts } = await openFleet(['host-1', 'host-2']);
    await using _fleet = fleet;
    const file = join(fleet.folder, 'acme.tgz');
    const source = writeAcme(fleet, { version: '1.0.0' });
    await fleet.cliJson('driver-pack', source, '--out', file);
    const signed = await fleet.cliJson('driver-sign', file, '--key', publisher.privateFile);
    const uploaded = await fleet.cliJson('driver-upload', file);
    expect(uploaded).toMatchObject({
      driver_id: 'acme',
      state: 'uploaded',
      signature: 'signed',
      digest: signed['digest'],
    });
    expect(await fleet.cliJson('driver-upload', file)).toEqual(uploaded);

    const early = await fleet.cli('install-driver', 'acme');
    expect(early).toMatchObject({ status: 1 });
    expect(early.stderr).toContain('No version of driver acme is approved');
    const report = join(fleet.folder, 'report.json');
    const trial = ['driver-test', file, '--clause', 'D-INIT-1', '--report', report];
    const tried = await fleet.cli(...trial);
    expect(tried.status, tried.stdout + tried.stderr).toBe(0);
    const partly = await fleet.cli('driver-upload', file, '--conformance', report);
    expect(partly.stderr).toContain('only: it is about D-INIT-1 alone');
    // The whole kit takes minutes on a busy machine; a server believes what the report says of itself.
    const whole = readFileSync(report, 'utf8').replace(/"only": \[[^\]]*\]/, '"only": []');
    writeFileSync(report, whole);
    const reported = await fleet.cliJson('driver-upload', file, '--conformance', report);
    expect(reported).toMatchObject({ conformance: { passed: true, clauses_failed: 0 } });
    const told = await fleet.cli('driver-show', 'acme');
    expect(told.stdout).toMatch(/conforms: \d+ clauses hold, 0 broken/);

    const approved = await fleet.cliJson('driver-approve', 'acme', '1.0.0');
    expect(approved).toMatchObject({ state: 'approved' });
    expect((await fleet.cli('driver-list')).stdout).toMatch(/acme .* require/);

    await fleet.done(fleet.v3.installDriver({ params, body: {} }), longMs);
    await untilListed(fleet, 4);
    const vm = await fleet.instance('host-1');
    await fleet.attach(vm, { driver: 'acme' });
    expect(hosts[0]?.devices()).toHaveLength(1);

    const refused = await fleet.cli('driver-delete', 'acme', '1.0.0');
    expect(refused.stderr).toMatch(/installed \(on host-1, host-2\)/);
    await fleet.detach(vm);
    await fleet.done(fleet.v3.uninstallDriver({ params, query: {} }), longMs);
    // An agent that still lets go of it has it in use.
    await eventually(
      async () => {
        const { stdout, stderr } = await fleet.cli('driver-delete', 'acme', '1.0.0');
        if (!stdout.includes('Deleted')) throw new Error(stderr);
        return true;
      },
      { timeoutMs: longMs, what: 'the version is deleted', context: () => fleet.logs() },
    );
    expect((await fleet.cli('driver-show', 'acme')).status).toBe(1);
  });

  it('that no trusted key has signed is refused, by the server and by an agent of its own accord', async ({
    expect,
  }) => {
    const { fleet, publisher } = await openFleet([]);
    await using _fleet = fleet;
    const file = await packAcme(fleet, { version: '1.0.0' });
    expect((await fleet.cli('driver-upload', file)).stderr).toContain('It is not signed');
    const other = makePublisher(join(fleet.folder, 'keys'), 'other');
    await fleet.cliJson('driver-sign', file, '--key', other.privateFile);
    expect((await fleet.cli('driver-upload', file)).stderr).toContain('by none of the keys');
    await fleet.cliJson('driver-sign', file, '--key', publisher.privateFile);
    await fleet.cliJson('driver-upload', file, '--approve');

    const careful = ['--driver-key', other.publicFile];
    const careless = ['--driver-signatures', 'warn'];
    await fleet.addHosts(['careful'], { args: careful });
    await fleet.addHosts(['careless'], { args: careless });
    const operation = await fleet.ended(fleet.v3.installDriver({ params, body: {} }), longMs);
    expect(operation.results).toMatchObject([
      {
        host: 'careful',
        outcome: 'failed',
        message: expect.stringContaining('by none of the keys'),
      },
      { host: 'careless', outcome: 'succeeded' },
    ]);
    expect(await fleet.accelerators({ host: 'careful' })).toEqual([]);
  });

  it('that was altered in the ledger or on the host is not started', async ({ expect }) => {
    const { fleet, publisher, hosts } = await openFleet(['host-1']);
    await using _fleet = fleet;
    const [host] = hosts;
    if (host === undefined) throw new Error('no host');
    await publishAcme(fleet, publisher, { version: '1.0.0' });
    const flip = sql`update driver_package_piece
      set data = set_byte(data, octet_length(data) / 2, 255 - get_byte(data, octet_length(data) / 2))`;
    await flip.execute(fleet.db);
    const operation = await fleet.ended(fleet.v3.installDriver({ params, body: {} }), longMs);
    expect(operation).toMatchObject({ state: 'failed' });
    expect(operation.error).toMatch(/The server sent \d+ bytes with the digest/);
    expect(host.drivers()).toEqual([]);
    // It asks again and again.
    await eventually(() => tarballsOf(host, /./).length === 0, {
      timeoutMs: longMs,
      what: 'nothing of it is kept',
      context: () => tarballsOf(host, /./).join('\n'),
    });
    expect(tarballsOf(host, /\.(tgz|code)$/)).toEqual([]);

    await flip.execute(fleet.db);
    await untilReady(fleet, 'host-1', '1.0.0');
    await host.kill();
    const [tarball = ''] = tarballsOf(host, /\.tgz$/);
    const whole = readFileSync(tarball);
    writeFileSync(tarball, Buffer.concat([whole.subarray(0, -1), Buffer.from('x')]));
    const [code = ''] = tarballsOf(host, /\.code$/);
    const [run = ''] = readdirSync(code);
    writeFileSync(join(code, run, 'src', 'main.py'), 'raise SystemExit("altered")\n');
    host.start();
    await fleet.untilUp(host);
    await eventually(() => existsSync(tarball) && readFileSync(tarball).equals(whole), {
      timeoutMs: longMs,
      what: 'the package is fetched again',
      context: () => fleet.logs(),
    });
    await untilReady(fleet, 'host-1', '1.0.0');
    await untilListed(fleet, 2);
    await fleet.attach(await fleet.instance('host-1'), { driver: 'acme' });
  });

  it(
    'arrives although agent and server are killed while it is fetched',
    { retry: 0 },
    async ({ expect }) => {
      const { fleet, publisher } = await openFleet([]);
      await using _fleet = fleet;
      await using proxy = await StallingProxy.open(fleet.port);
      const args = ['--driver-key', publisher.publicFile];
      const [host] = await fleet.addHosts(['host-1'], { args, url: proxy.url });
      if (host === undefined) throw new Error('no host');
      const ballastBytes = 8 * 1024 * 1024;
      await publishAcme(fleet, publisher, { version: '1.0.0', ballastBytes });
      const untilFetching = (): Promise<unknown> =>
        eventually(() => proxy.stalledTotal === 1 && tarballsOf(host, /\.part/).length > 0, {
          timeoutMs: longMs,
          what: 'the package is being fetched',
          context: () => fleet.logs(),
        });
      await fleet.v3.installDriver({ params, body: {} });
      await untilFetching();
      await host.kill();
      await eventually(() => proxy.stalledTotal === 0, {
        timeoutMs: longMs,
        what: 'the killed agent fetches no more',
      });
      host.start();
      await untilFetching();
      await fleet.server?.end('SIGKILL');
      expect(tarballsOf(host, /\.tgz$/)).toEqual([]);
      proxy.release();
      await fleet.startServer({ args });
      await untilReady(fleet, 'host-1', '1.0.0');
      expect(tarballsOf(host, /\.part/)).toEqual([]);
    },
  );
});

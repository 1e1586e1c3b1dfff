import { inspect } from 'node:util';

import { novaOperations } from '@cyborg/model/nova-operations';
import { addHost, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { openNovaBench, tokenCaller } from '../../test/attach-with-nova.ts';
import { makeInstanceHandlers } from '../instances/handlers.ts';
import { readOperation } from '../operations/read-operations.ts';
import { releaseVanished } from '../reconcilers/release-vanished.ts';
import { obey } from '../test-agent.ts';

const statuses = [...new Set(novaOperations.flatMap(({ status }) => status ?? []))];
const refused = ['BUILD', 'ERROR', 'VERIFY_RESIZE', 'REBOOT', ...statuses].filter(
  (status) => !['ACTIVE', 'PAUSED', 'DELETED'].includes(status),
);

describe("attaching to one of Nova's servers", () => {
  it('goes by what Nova shows the caller, and takes its project from Nova', async ({ expect }) => {
    await using bench = await openNovaBench();
    const { db, deps, host, cloud, instance, member } = bench;
    const operation = await bench.attach({ driver: 'generic' });
    await obey(deps, host);
    expect(await readOperation(db, member, operation.id)).toMatchObject({ state: 'succeeded' });
    const row = db.selectFrom('instance').selectAll().where('id', '=', instance.id);
    expect(await row.executeTakeFirst()).toMatchObject({
      project_id: 'alpha',
      project_source: 'nova',
    });
    const held = db.selectFrom('accelerator').selectAll().where('project_id', '=', 'alpha');
    expect(await held.execute()).toMatchObject([{ instance_id: instance.id, state: 'attached' }]);
    const other = tokenCaller(cloud, 'manager', 'beta');
    await expect(bench.attach({}, other)).rejects.toMatchObject({ code: 'instance-not-found' });
    const { listInstances } = makeInstanceHandlers(deps);
    const ids = async (caller: typeof member) =>
      (await listInstances(caller, { params: {}, query: {}, body: undefined })).items.map(
        ({ id }) => id,
      );
    expect([await ids(member), await ids(other)]).toEqual([[instance.id], []]);
  });

  it('keeps the token to itself', async ({ expect }) => {
    await using bench = await openNovaBench();
    const secret = bench.member.token?.reveal() ?? 'none';
    const operation = await bench.attach();
    const texts = [JSON.stringify(bench.member), inspect(bench.member, { depth: 9 })];
    expect([...texts, String(bench.member.token)].join()).not.toContain(secret);
    for (const table of ['operation', 'attachment', 'event', 'idempotency_key'] as const) {
      const rows = await bench.db.selectFrom(table).selectAll().execute();
      expect(JSON.stringify(rows)).not.toContain(secret);
    }
    expect(operation.state).toBe('running');
  });

  it('is refused in every other status, with the way out', async ({ expect }) => {
    await using bench = await openNovaBench();
    for (const status of refused) {
      bench.server.status = status;
      await expect(bench.attach(), status).rejects.toMatchObject({
        code: 'instance-not-ready',
        message: expect.stringMatching(new RegExp(`is ${status} in Nova: .+, then attach`)),
      });
    }
  });

  it('is refused while Nova is at it, and while it is locked, but for an admin', async ({
    expect,
  }) => {
    await using bench = await openNovaBench();
    const { server, cloud } = bench;
    server['OS-EXT-STS:task_state'] = 'reboot_started_hard';
    await expect(bench.attach()).rejects.toMatchObject({
      code: 'instance-not-ready',
      message: expect.stringContaining('reboot_started_hard'),
      extra: { retry_after_seconds: 2 },
    });
    server['OS-EXT-STS:task_state'] = 'image_uploading';
    server.locked = true;
    await expect(bench.attach()).rejects.toMatchObject({
      message: expect.stringContaining('openstack server unlock'),
    });
    const admin = tokenCaller(cloud, 'admin', 'alpha');
    expect(await bench.attach({}, admin)).toMatchObject({ state: 'running' });
  });

  it('says Retry-After while Nova is away, and detaches all the same', async ({ expect }) => {
    await using bench = await openNovaBench();
    const { deps, host, cloud } = bench;
    await bench.attach();
    await obey(deps, host);
    cloud.away.add('compute');
    await expect(bench.attach()).rejects.toMatchObject({
      code: 'unavailable',
      extra: { retry_after_seconds: 5 },
    });
    const operation = await bench.detach();
    await obey(deps, host);
    expect((await readOperation(bench.db, bench.member, operation.id)).state).toBe('succeeded');
  });

  it('tells an expired token from a server that is not there', async ({ expect }) => {
    await using bench = await openNovaBench();
    bench.cloud.tokens.clear();
    await expect(bench.attach()).rejects.toMatchObject({ code: 'not-authenticated' });
  });

  it('says what is missing when no agent reports the server', async ({ expect }) => {
    await using bench = await openNovaBench();
    await bench.db.deleteFrom('instance').execute();
    await expect(bench.attach()).rejects.toMatchObject({
      code: 'instance-not-ready',
      message: expect.stringContaining('--hypervisor libvirt'),
    });
  });

  it('shows a host that Nova calls otherwise, and attaches nothing there', async ({ expect }) => {
    await using bench = await openNovaBench();
    const { db, host, server } = bench;
    server['OS-EXT-SRV-ATTR:hypervisor_hostname'] = 'node-1.example';
    await expect(bench.attach()).rejects.toMatchObject({ code: 'host-not-ready' });
    const conditions = async () =>
      (await db.selectFrom('host').select('conditions').where('id', '=', host.id).execute())[0]
        ?.conditions;
    expect(await conditions()).toMatchObject([
      {
        kind: 'nova-host-name',
        blocks_attaching: true,
        message: expect.stringContaining('node-1.example'),
      },
    ]);
    server['OS-EXT-SRV-ATTR:hypervisor_hostname'] = 'node-1';
    expect(await bench.attach()).toMatchObject({ state: 'running' });
    expect(await conditions()).toEqual([]);
    const [{ service_host } = { service_host: null }] = await db
      .selectFrom('host')
      .select('service_host')
      .execute();
    expect(service_host).toBe('compute-1');
    server['OS-EXT-SRV-ATTR:host'] = 'compute-2';
    await expect(bench.attach()).rejects.toMatchObject({ code: 'host-not-ready' });
    expect(await conditions()).toMatchObject([{ message: expect.stringContaining('compute-2') }]);
  });

  it('blames no host for a server that has moved to another one', async ({ expect }) => {
    await using bench = await openNovaBench();
    await addHost(bench.db, { name: 'node-2' });
    bench.server['OS-EXT-SRV-ATTR:hypervisor_hostname'] = 'node-2';
    await expect(bench.attach()).rejects.toMatchObject({ code: 'host-not-ready' });
    const hosts = await bench.db.selectFrom('host').select('conditions').execute();
    expect(hosts.flatMap(({ conditions }) => conditions)).toEqual([]);
  });

  it('rehearses without asking Nova', async ({ expect }) => {
    await using bench = await openNovaBench();
    bench.server.status = 'SHUTOFF';
    await bench.pass('look-at-servers');
    const { length } = bench.cloud.seen;
    const view = await bench.handlers.createAttachments(callerOf('member', 'alpha'), {
      params: { instance_id: bench.instance.id },
      query: { dry_run: true },
      body: {},
    });
    expect(view).toMatchObject({ would_succeed: false, refusal: { code: 'instance-not-ready' } });
    expect(bench.cloud.seen.length).toBe(length);
  });
});

describe('a server that is gone', () => {
  async function vanished() {
    const bench = await openNovaBench();
    await bench.attach();
    await obey(bench.deps, bench.host);
    const gone = { is_present: false, is_vanished: true, missing_since: bench.clock.now() };
    await bench.db.updateTable('instance').set(gone).execute();
    const state = async () =>
      (await bench.db.selectFrom('attachment').select('state').execute()).map((row) => row.state);
    return { bench, state };
  }

  it('loses what it holds only when Nova says so too', async ({ expect }) => {
    const { bench, state } = await vanished();
    await using _ = bench;
    const { deps, cloud, clock, server } = bench;
    const release = (): Promise<unknown> =>
      releaseVanished(deps).pass(new AbortController().signal);
    await release();
    expect(await state()).toEqual(['attached']);
    for (const trouble of ['away', 'deaf'] as const) {
      cloud[trouble].add('compute');
      await clock.advance(61_000);
      await bench.pass('look-at-servers');
      await release();
      expect(await state()).toEqual(['attached']);
      cloud[trouble].delete('compute');
    }
    server.status = 'SHELVED_OFFLOADED';
    await clock.advance(61_000);
    await bench.pass('look-at-servers');
    await release();
    expect(await state()).toEqual(['attached']);
    cloud.servers.delete(server.id);
    await clock.advance(61_000);
    await bench.pass('look-at-servers');
    await release();
    expect(await state()).toEqual(['detaching']);
  });

  it('is heard of by what has changed in Nova', async ({ expect }) => {
    const { bench } = await vanished();
    await using _ = bench;
    bench.server.status = 'DELETED';
    expect(await bench.pass('follow-nova-changes')).toMatchObject({ found: 1 });
    const row = await bench.db.selectFrom('nova_server').selectAll().executeTakeFirstOrThrow();
    expect(row).toMatchObject({ status: 'DELETED', gone_at: bench.clock.now() });
    // Somebody has read just now: it is too early, whoever asks.
    expect(await bench.pass('follow-nova-changes')).toMatchObject({ found: 0 });
    await bench.clock.advance(10_000);
    bench.cloud.away.add('compute');
    await bench.pass('follow-nova-changes');
    const { read_until } = await bench.db
      .selectFrom('nova_watch')
      .select('read_until')
      .executeTakeFirstOrThrow();
    expect(read_until).toEqual(row.gone_at);
  });
});

import type { Caller } from '@cyborg/model/caller';
import { callerOf } from '@cyborg/testing/fleet';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { brokenInvariants, changesWithoutEvent } from '../../test-audit.ts';
import { obey, ordersOf, outcomeOf, report } from '../../test-agent.ts';
import { makeArqHandlers } from './handlers.ts';
import {
  bind,
  bindBody,
  listed,
  make,
  member,
  open,
  openBench,
  states,
  unbind,
} from '../../../test/requests.ts';

const bareMember = callerOf('member', 'alpha');
const stranger: Caller = { ...callerOf('member', 'beta'), isServiceRequest: true };
const admin: Caller = { ...callerOf('admin', 'ops'), isServiceRequest: true };

describe('an accelerator request', () => {
  it('lives from its profile to the end, and its handle is cleaned before anybody has it again', async ({
    expect,
  }) => {
    await using bench = await openBench(3);
    const { arqs, db, deps, host, provider } = bench;
    const made = await arqs.create(member, 'three');
    expect(made.map((view) => view.device_profile_group_id)).toEqual([0, 0, 2]);
    expect(made[0]).toMatchObject({
      state: 'Initial',
      device_profile_name: 'three',
      hostname: null,
      device_rp_uuid: null,
      instance_uuid: null,
      project_id: 'alpha',
      attach_handle_type: '',
      attach_handle_uuid: null,
      attach_handle_info: {},
      updated_at: null,
    });
    const ids = made.map(({ uuid }) => uuid);
    const instance = crypto.randomUUID();
    await bind(bench, ids, { instance });
    expect(await listed(bench, member, { instanceId: instance, isResolved: true })).toMatchObject(
      ids.map((uuid) => ({
        uuid,
        state: 'Bound',
        hostname: 'vm',
        device_rp_uuid: provider.rpUuid,
        instance_uuid: instance,
        attach_handle_type: 'TEST_PCI',
        attach_handle_info: { domain: '0000', bus: '0c', device: '0' },
      })),
    );
    const told = await db.selectFrom('nova_event').selectAll().execute();
    expect(told.map((row) => row.attachment_id).toSorted()).toEqual(ids.toSorted());
    expect(told[0]).toMatchObject({ instance_id: instance, status: 'completed' });
    expect(await ordersOf(deps, host)).toEqual([]);

    const [first = '', ...others] = ids;
    await unbind(bench, first);
    expect(await arqs.show(member, first)).toMatchObject({
      state: 'Unbound',
      instance_uuid: null,
      hostname: null,
      attach_handle_type: '',
      project_id: 'alpha',
    });
    await arqs.removeOfInstance(member, instance);
    expect((await listed(bench, member)).map(({ uuid }) => uuid)).toEqual([first]);
    await expect(arqs.show(member, others[0] ?? '')).rejects.toMatchObject({ status: 404 });
    expect(await states(bench)).toEqual(['cleaning', 'cleaning', 'cleaning']);
    const orders = await ordersOf(deps, host);
    expect(orders.map(({ kind }) => kind)).toEqual(['clean', 'clean', 'clean']);

    // Something still holds one of them: it stays out until its host says otherwise.
    const [held] = orders;
    await report(deps, host, [outcomeOf(held!, { outcome: 'held', message: 'pid 42' })]);
    await expect(bind(bench, [first])).rejects.toMatchObject({
      status: 404,
      message: expect.stringMatching(/^AttachHandle not found Matching deployable_id \d+$/),
    });
    await obey(deps, host);
    await bind(bench, [first]);
    expect(await states(bench)).toEqual(['attached', 'available', 'available'].toSorted());
    await arqs.remove(member, [first]);
    await obey(deps, host);
    expect(await states(bench)).toEqual(['available', 'available', 'available']);
    expect(await brokenInvariants(db)).toEqual([]);
    expect(await changesWithoutEvent(db)).toEqual([]);
  });

  it('is bound with all others of its PATCH, or none is', async ({ expect }) => {
    await using bench = await openBench(2);
    const { arqs, db } = bench;
    const ids = await make(bench, 'three');
    await expect(bind(bench, ids)).rejects.toMatchObject({ status: 404 });
    const [first = '', second = '', third = ''] = ids;
    const unknown = crypto.randomUUID();
    await expect(bind(bench, [first, unknown])).rejects.toMatchObject({
      status: 404,
      message: `ExtArq not found with uuid=${unknown}`,
    });
    await expect(
      arqs.patch({
        caller: member,
        body: {
          ...bindBody([first], bench.provider, crypto.randomUUID()),
          ...bindBody([second], { rpUuid: unknown }, crypto.randomUUID()),
        },
        minor: 0,
        signal: open,
      }),
    ).rejects.toMatchObject({
      status: 404,
      message: `Deployable not found with resource provider uuid=${unknown}`,
    });
    await bind(bench, [first]);
    await expect(bind(bench, [first])).rejects.toMatchObject({
      status: 500,
      message: expect.stringContaining('Bad state: Bound'),
    });
    await expect(bind(bench, [second, first])).rejects.toMatchObject({ status: 500 });
    await expect(bind(bench, [second, second.toUpperCase()])).rejects.toMatchObject({
      status: 400,
    });
    const found = await listed(bench, member);
    expect(found.map(({ state }) => state)).toEqual(['Bound', 'Initial', 'Initial']);
    expect(found.map(({ uuid }) => uuid)).toEqual([first, second, third]);
    expect(await states(bench)).toContain('available');
    expect(await db.selectFrom('nova_event').select('id').execute()).toHaveLength(1);
    expect(await brokenInvariants(db)).toEqual([]);
  });

  it('of another project is not there', async ({ expect }) => {
    await using bench = await openBench(2);
    const { arqs } = bench;
    const [id = ''] = await make(bench);
    const instance = crypto.randomUUID();
    const gone = { status: 404, message: `ExtArq not found with uuid=${id}` };
    await expect(arqs.show(stranger, id)).rejects.toMatchObject(gone);
    await expect(bind(bench, [id], { caller: stranger })).rejects.toMatchObject(gone);
    await expect(arqs.remove(stranger, [id])).rejects.toMatchObject(gone);
    expect(await listed(bench, stranger)).toEqual([]);
    await bind(bench, [id], { instance });
    await arqs.removeOfInstance(stranger, instance);
    expect(await listed(bench, stranger, { instanceId: instance })).toEqual([]);
    expect(await arqs.show(member, id)).toMatchObject({ state: 'Bound' });
    expect(await listed(bench, admin)).toHaveLength(1);
  });

  it('that an instance has is ended by a service alone', async ({ expect }) => {
    await using bench = await openBench(2);
    const { arqs } = bench;
    const [bound = '', free = ''] = [...(await make(bench)), ...(await make(bench))];
    const instance = crypto.randomUUID();
    await expect(bind(bench, [bound], { caller: bareMember })).rejects.toMatchObject({
      status: 403,
    });
    await bind(bench, [bound], { instance });
    await expect(arqs.remove(bareMember, [free, bound])).rejects.toMatchObject({
      status: 403,
      message: `ARQ ${bound} is bound to instance ${instance}. Use the Compute API to manage instance accelerators.`,
    });
    expect(() => arqs.removeOfInstance(bareMember, instance)).toThrow('requires a service token');
    await expect(arqs.remove(bareMember, [free, crypto.randomUUID()])).rejects.toMatchObject({
      status: 404,
    });
    expect(await listed(bench, member)).toHaveLength(2);
    await arqs.remove(bareMember, [free, free]);
    await arqs.remove(member, [bound]);
    expect(await listed(bench, member)).toEqual([]);
    await arqs.removeOfInstance(member, instance);
  });

  it('is moved to the project that binds it, or to the one that an admin names', async ({
    expect,
  }) => {
    await using bench = await openBench(2);
    const { arqs } = bench;
    const [id = '', other = ''] = [...(await make(bench)), ...(await make(bench))];
    await bind(bench, [id], { caller: admin });
    expect(await arqs.show(admin, id)).toMatchObject({ project_id: 'ops' });
    const body = bindBody([other], bench.provider, crypto.randomUUID());
    const named = {
      [other]: [...Object.values(body).flat(), { path: '/project_id', op: 'add', value: 'alpha' }],
    };
    const patch = { body: named, minor: 1, signal: open };
    await expect(arqs.patch({ ...patch, caller: member })).rejects.toMatchObject({ status: 403 });
    await expect(arqs.patch({ ...patch, caller: admin, minor: 0 })).rejects.toMatchObject({
      status: 406,
    });
    await arqs.patch({ ...patch, caller: admin });
    expect(await arqs.show(member, other)).toMatchObject({ project_id: 'alpha', state: 'Bound' });
    expect(
      await bench.db.selectFrom('accelerator').select('project_id').orderBy('project_id').execute(),
    ).toEqual([{ project_id: 'alpha' }, { project_id: 'ops' }]);
  });

  it('counts in the quota of its project once it is bound', async ({ expect }) => {
    await using bench = await openBench(2);
    const now = new Date();
    await bench.db
      .insertInto('quota')
      .values({
        project_id: 'alpha',
        type: 'FPGA',
        accelerators_max: 1,
        created_at: now,
        updated_at: null,
      })
      .execute();
    const [first = '', second = ''] = [...(await make(bench)), ...(await make(bench))];
    await bind(bench, [first]);
    await expect(bind(bench, [second])).rejects.toMatchObject({
      status: 403,
      message: expect.stringContaining('holds 1 of at most 1'),
    });
    expect(await states(bench)).toContain('available');
  });

  it('is bound to nothing that Nova cannot plug, and to nothing kept for others', async ({
    expect,
  }) => {
    await using bench = await openBench(1);
    const { db, provider } = bench;
    const [id = ''] = await make(bench);
    await db.updateTable('accelerator').set({ reserved_for: 'beta' }).execute();
    await expect(bind(bench, [id])).rejects.toMatchObject({ status: 404 });
    await db
      .updateTable('accelerator')
      .set({ reserved_for: null, plans: '["virtio-rng"]' })
      .execute();
    await expect(bind(bench, [id])).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining(provider.rpUuid),
    });
  });
});

describe('an instance', () => {
  it('has its requests from one bind: of 16 at once exactly one succeeds', async ({ expect }) => {
    await using bench = await openBench(16);
    const instance = crypto.randomUUID();
    const made = await Promise.all(Array.from({ length: 16 }, () => make(bench)));
    const ended = await Promise.allSettled(made.map((ids) => bind(bench, ids, { instance })));
    const refusals = ended.filter((one) => one.status === 'rejected').map(({ reason }) => reason);
    expect(refusals).toHaveLength(15);
    for (const refusal of refusals) {
      expect(refusal).toMatchObject({
        status: 400,
        message: `Couldn't apply patch. Reason: Instance ${instance} already has accelerator requests. Cannot bind additional ARQs.`,
      });
    }
    expect((await states(bench)).filter((state) => state === 'attached')).toHaveLength(1);
  });
});

describe('the last handle', () => {
  it('goes to one of 16 who ask at once, and the others hear the truth', async ({ expect }) => {
    await using bench = await openBench(1);
    const made = await Promise.all(Array.from({ length: 16 }, () => make(bench)));
    const ended = await Promise.allSettled(made.map((ids) => bind(bench, ids)));
    expect(ended.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
    for (const one of ended) {
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ status: 404 });
    }
    expect(await brokenInvariants(bench.db)).toEqual([]);
  });

  it('is waited for while it is being cleaned, and given as soon as it is clean', async ({
    expect,
  }) => {
    await using bench = await openBench(1, { bindWaitSeconds: 60, recheckMs: 60_000 });
    const { arqs, deps, host } = bench;
    const [first = '', second = ''] = [...(await make(bench)), ...(await make(bench))];
    await bind(bench, [first]);
    await arqs.remove(member, [first]);
    const waits = bind(bench, [second]);
    while (!deps.wake.waiting().includes('cleaned')) await turn();
    await obey(deps, host);
    await waits;
    expect(await arqs.show(member, second)).toMatchObject({ state: 'Bound' });
  });

  it('is not waited for longer than told, nor by who is gone', async ({ expect }) => {
    await using bench = await openBench(1, { bindWaitSeconds: 0.2 });
    const { arqs } = bench;
    const [first = '', second = ''] = [...(await make(bench)), ...(await make(bench))];
    await bind(bench, [first]);
    await arqs.remove(member, [first]);
    await expect(bind(bench, [second])).rejects.toMatchObject({ status: 404 });
    const body = bindBody([second], bench.provider, crypto.randomUUID());
    await expect(
      arqs.patch({ caller: member, body, minor: 0, signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ status: 404 });
    expect(await arqs.show(member, second)).toMatchObject({ state: 'Initial' });
  });
});

describe('binds, unbinds and deletes at once', () => {
  it('leave the ledger whole, whoever comes first', async ({ expect }) => {
    await using bench = await openBench(4);
    const { arqs, db, deps, host } = bench;
    for (let round = 0; round < 12; round++) {
      const [a = '', b = ''] = [...(await make(bench)), ...(await make(bench))];
      const instance = crypto.randomUUID();
      const acts = [
        bind(bench, [a], { instance }),
        bind(bench, [b, a]),
        arqs.remove(member, [a, b]),
        unbind(bench, b),
        arqs.removeOfInstance(member, instance),
        obey(deps, host),
      ];
      const ended = await Promise.allSettled(acts);
      for (const one of ended) {
        if (one.status === 'rejected') expect(one.reason).toMatchObject({ name: 'V2Fault' });
      }
      expect(await brokenInvariants(db)).toEqual([]);
    }
    const left = (await listed(bench, member)).map(({ uuid }) => uuid);
    if (left.length > 0) await arqs.remove(member, left);
    await obey(deps, host);
    expect(new Set(await states(bench))).toEqual(new Set(['available']));
    expect(await changesWithoutEvent(db)).toEqual([]);
  });

  it('of a conductor that dies in between have done nothing', async ({ expect }) => {
    await using bench = await openBench(1);
    const { db, deps } = bench;
    const [id = ''] = await make(bench);
    await sql
      .raw(`create function die() returns trigger language plpgsql as $$ begin
      raise exception 'killed'; end $$`)
      .execute(db);
    await sql
      .raw('create trigger die before insert on nova_event for each row execute function die()')
      .execute(db);
    await expect(bind(bench, [id])).rejects.toThrow('killed');
    expect(await states(bench)).toEqual(['available']);
    expect(await makeArqHandlers(deps).show(member, id)).toMatchObject({ state: 'Initial' });
    await sql.raw('drop trigger die on nova_event').execute(db);
    await bind(bench, [id]);
    expect(await brokenInvariants(db)).toEqual([]);
  });
});

describe('a list', () => {
  it('is read on while it is written, in batches, in the order of creation', async ({ expect }) => {
    await using bench = await openBench(1);
    const made: string[] = [];
    for (let index = 0; index < 150; index++) made.push(...(await make(bench, 'three')));
    const batches = await bench.arqs.list(member, {});
    const seen: string[] = [];
    let largest = 0;
    for await (const batch of batches ?? []) {
      largest = Math.max(largest, batch.length);
      seen.push(...batch.map(({ uuid }) => uuid));
    }
    expect(seen).toEqual(made);
    expect(largest).toBeLessThan(made.length);
    expect(await listed(bench, member, { isResolved: true })).toEqual([]);
  });
});

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

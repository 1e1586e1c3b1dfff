import { toJson } from '@cyborg/store/json';
import { addAccelerators, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAttachmentHandlers } from '../../attachments/handlers.ts';
import { lockUses } from '../../deployments/users.ts';
import { applyObservations } from '../../orders/observations.ts';
import { listHeld } from '../../orders/orders.ts';
import { makeQuotaHandlers } from '../../quotas/handlers.ts';
import { releaseVanished } from '../../reconcilers/release-vanished.ts';
import { brokenInvariants } from '../../test-audit.ts';
import { obey, ordersOf } from '../../test-agent.ts';
import { act } from '../../transaction.ts';
import { bind, listed, make, member, openBench, states, unbind } from '../../../test/requests.ts';

const nothing = { query: {}, body: undefined };
const admin = callerOf('admin', 'ops');

describe('what Nova has bound', () => {
  it('is an attachment of origin nova to v3, which sends its detach to the Compute API', async ({
    expect,
  }) => {
    await using bench = await openBench(1);
    const { db, deps, host } = bench;
    const [id = ''] = await make(bench);
    const instance = await addInstance(db, host, { name: 'web' });
    await bind(bench, [id], { instance: instance.id });
    const v3 = makeAttachmentHandlers(deps);
    const params = { instance_id: instance.id };
    const { items } = await v3.listAttachments(member, { ...nothing, params });
    expect(items).toMatchObject([
      { id, origin: 'nova', plugged_by: 'nova', state: 'attached', instance_id: instance.id },
    ]);
    for (const force of [false, true]) {
      await expect(
        v3.deleteAttachments(admin, { ...nothing, params, query: { force } }),
      ).rejects.toMatchObject({
        code: 'wrong-state',
        message: expect.stringContaining('use the Compute API'),
      });
    }
    const quota = await makeQuotaHandlers(deps).showQuota(member, {
      ...nothing,
      params: { project_id: 'alpha' },
    });
    expect(quota.limits).toMatchObject([{ type: 'FPGA', accelerators_used: 1 }]);
    expect((await listed(bench, member))[0]).toMatchObject({ state: 'Bound' });
  });

  it('is only looked at by the agent, and taken away by no report', async ({ expect }) => {
    await using bench = await openBench(1);
    const { db, deps, host } = bench;
    const [id = ''] = await make(bench);
    await bind(bench, [id]);
    expect(await ordersOf(deps, host)).toEqual([]);
    const { items } = await listHeld(db, host.id, undefined);
    expect(items).toMatchObject([{ attachment_id: id, plugged_by: 'nova' }]);
    const epoch = items[0]?.epoch ?? 0;
    for (const observed of ['missing', 'plugged', 'missing', 'unknown'] as const) {
      await act(deps, (current) =>
        applyObservations(current, deps, {
          host,
          observations: [{ attachment_id: id, epoch, observed }],
        }),
      );
      expect(await ordersOf(deps, host)).toEqual([]);
      const row = await db
        .selectFrom('attachment')
        .select(['state', 'observed'])
        .executeTakeFirst();
      expect(row).toEqual({ state: 'attached', observed });
    }
  });

  it('is not released because its instance is not seen', async ({ expect }) => {
    await using bench = await openBench(1);
    const { db, deps, host } = bench;
    const [id = ''] = await make(bench);
    const instance = await addInstance(db, host, { is_vanished: true, is_present: false });
    await bind(bench, [id], { instance: instance.id });
    await releaseVanished(deps).pass(new AbortController().signal);
    expect(await states(bench)).toEqual(['attached']);
    expect((await listed(bench, member))[0]).toMatchObject({ state: 'Bound' });
  });

  it('stands in the way of taking its driver away, as all that is in use does', async ({
    expect,
  }) => {
    await using bench = await openBench(1);
    const { db, deps, backend } = bench;
    const [id = ''] = await make(bench);
    const instance = crypto.randomUUID();
    await bind(bench, [id], { instance });
    const uses = await act(deps, ({ tx }) =>
      lockUses(tx, { backendIds: [backend.id], isLocked: true }),
    );
    expect(uses).toMatchObject([{ instance_id: instance, project_id: 'alpha', state: 'attached' }]);
    expect(await brokenInvariants(db)).toEqual([]);
  });
});

describe('a PCI function that Nova had', () => {
  it('is to be cleaned with its address, so that the agent looks who else has it', async ({
    expect,
  }) => {
    await using bench = await openBench(1);
    const { arqs, db, deps, host } = bench;
    await db
      .updateTable('accelerator')
      .set({ plans: toJson(['pci']) })
      .execute();
    const [id = ''] = await make(bench);
    await bind(bench, [id]);
    expect(await arqs.show(member, id)).toMatchObject({ attach_handle_type: 'PCI' });
    await arqs.remove(member, [id]);
    expect(await ordersOf(deps, host)).toMatchObject([{ kind: 'clean', address: '0000:0c:0.0' }]);
  });
});

describe('what was attached to the running server', () => {
  it('is among all requests, not among Nova’s, and ends with the instance’s', async ({
    expect,
  }) => {
    await using bench = await openBench(1);
    const { arqs, db, deps, host, backend } = bench;
    await addAccelerators(db, backend, { count: 1, plans: toJson(['virtio-crypto']) });
    const instance = await addInstance(db, host, { name: 'web' });
    const [bound = ''] = await make(bench);
    await bind(bench, [bound], { instance: instance.id });
    await makeAttachmentHandlers(deps).createAttachments(callerOf('member', 'alpha'), {
      params: { instance_id: instance.id },
      query: {},
      body: { count: 1 },
    });
    await obey(deps, host);
    const hot = (await listed(bench, member)).find(({ uuid }) => uuid !== bound);
    expect(hot).toMatchObject({
      state: 'Bound',
      instance_uuid: instance.id,
      hostname: 'vm',
      device_profile_name: null,
      attach_handle_type: '',
      attach_handle_info: {},
    });
    const ofInstance = await listed(bench, member, { instanceId: instance.id });
    expect(ofInstance.map(({ uuid }) => uuid)).toEqual([bound]);
    await expect(unbind(bench, hot?.uuid ?? '')).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining('detach-instance'),
    });
    const [held] = await db
      .selectFrom('attachment')
      .select('accelerator_id')
      .where('origin', '=', 'cyborg')
      .execute();
    for (const caller of [member, callerOf('member', 'alpha'), admin]) {
      await expect(arqs.remove(caller, [hot?.uuid ?? ''])).rejects.toMatchObject({
        status: 403,
        message: `ARQ ${hot?.uuid} was attached to the running instance ${instance.id}: detach it with "cyborg detach-instance ${instance.id} --accelerator ${held?.accelerator_id}".`,
      });
    }
    expect(await states(bench)).toEqual(['attached', 'attached']);
    await arqs.removeOfInstance(member, instance.id);
    const orders = await ordersOf(deps, host);
    const words = orders.map(({ kind, plugged_by: by }) => `${kind} ${by}`);
    expect(new Set(words)).toEqual(new Set(['clean none', 'detach agent']));
    await obey(deps, host);
    expect(await states(bench)).toEqual(['available', 'available']);
    expect(await listed(bench, member)).toEqual([]);
    expect(await brokenInvariants(db)).toEqual([]);
  });
});

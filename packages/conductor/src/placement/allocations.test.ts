import { randomUUID } from 'node:crypto';

import { claimAllocations } from '@cyborg/store/nova/allocations';
import { toJson } from '@cyborg/store/json';
import { listOffered } from '@cyborg/store/placement';
import { fleetMadeAt } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { openNovaBench, type NovaBench } from '../../test/attach-with-nova.ts';
import { claimOf } from '../nova/claim.ts';
import { readOperation } from '../operations/read-operations.ts';
import { endOverdueOperations } from '../reconcilers/end-overdue-operations.ts';
import { dispatch, obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { allocationLimits, consumerType } from './allocations.ts';

/** A bench whose accelerators Placement counts, one provider each. */
async function setUp(count = 2, resourceClass = 'CUSTOM_CYBORG_ENTROPY') {
  const bench = await openNovaBench({ count });
  const providers = [];
  for (const { deployable_id, host_id } of bench.accelerators) {
    const rpUuid = randomUUID();
    providers.push(rpUuid);
    bench.cloud.totals.set(rpUuid, 1);
    await bench.db
      .insertInto('placement_provider')
      .values({
        rp_uuid: rpUuid,
        name: rpUuid,
        deployable_id,
        host_id,
        is_made: true,
        synced: toJson({ resource_class: resourceClass }),
        created_at: fleetMadeAt,
      })
      .execute();
  }
  return { ...bench, bench, providers };
}

async function stateOf({ db }: NovaBench): Promise<string[]> {
  const rows = await db.selectFrom('attachment').select(['state', 'allocation']).execute();
  return rows.map(({ state, allocation }) => `${state} ${allocation}`).toSorted();
}

/** Beyond every pause and every claim. */
const later = ({ clock }: NovaBench): Promise<void> => clock.advance(allocationLimits.againMaxMs);

describe('what attachments hold in Placement', () => {
  it('is allocated before the host is told, in one request, and taken back when it is clean', async ({
    expect,
  }) => {
    await using given = await setUp();
    const { bench, cloud, deps, host, providers, member } = given;
    const operation = await given.attach({ driver: 'generic', count: 2 });
    await dispatch(deps);
    expect(await ordersOf(deps, host)).toEqual([]);
    await given.pass('make-allocations');
    const posts = cloud.seen.filter(({ method }) => method === 'POST');
    expect(posts.length).toBe(1);
    const attachments = await given.db.selectFrom('attachment').select('id').execute();
    expect([...cloud.consumers.keys()].toSorted()).toEqual(
      attachments.map(({ id }) => id).toSorted(),
    );
    const [consumer] = cloud.consumers.values();
    expect(consumer).toMatchObject({
      consumer_type: consumerType,
      project_id: 'alpha',
      user_id: member.userId,
    });
    expect(
      [...cloud.consumers.values()].flatMap(({ allocations }) => Object.entries(allocations)),
    ).toEqual(
      expect.arrayContaining(
        providers.map((name) => [name, { resources: { CUSTOM_CYBORG_ENTROPY: 1 } }]),
      ),
    );
    await obey(deps, host);
    expect((await readOperation(given.db, member, operation.id)).state).toBe('succeeded');
    await given.detach();
    const orders = await ordersOf(deps, host);
    await report(
      deps,
      host,
      orders.map((order) => outcomeOf(order)),
    );
    await given.pass('remove-allocations');
    expect(cloud.consumers.size, 'not yet clean').toBe(2);
    await obey(deps, host);
    await given.pass('remove-allocations');
    expect(cloud.consumers.size).toBe(0);
    expect(await stateOf(bench)).toEqual(['released null', 'released null']);
  });

  it('unwinds the whole request when Placement has no room', async ({ expect }) => {
    await using given = await setUp();
    const { bench, cloud, providers, member } = given;
    cloud.totals.set(providers[1] ?? '', 0);
    const operation = await given.attach({ driver: 'generic', count: 2 });
    await given.pass('make-allocations');
    expect(await readOperation(given.db, member, operation.id)).toMatchObject({
      state: 'failed',
      error: expect.stringContaining('Placement has no room'),
    });
    expect(cloud.consumers.size).toBe(0);
    const accelerators = await given.db.selectFrom('accelerator').select('state').execute();
    expect(accelerators).toEqual([{ state: 'available' }, { state: 'available' }]);
    await given.pass('remove-allocations');
    expect(await stateOf(bench)).toEqual(['released null', 'released null']);
  });

  it('is not allocated where Placement does not offer it: kept for a project, or not alone in its IOMMU group', async ({
    expect,
  }) => {
    await using given = await setUp(4);
    const { bench, cloud, db } = given;
    const ids = given.accelerators.map(({ id }) => id);
    const change = (index: number[], changes: object): Promise<unknown> =>
      db
        .updateTable('accelerator')
        .set(changes)
        .where(
          'id',
          'in',
          index.flatMap((one) => ids[one] ?? []),
        )
        .execute();
    await change([0], { reserved_for: 'alpha' });
    await change([1, 2], { iommu_group: 7 });
    const reserved = async (): Promise<number> => {
      const hostIds = [given.host.id];
      const rows = await listOffered(db, { withHotplug: true, hostIds });
      return rows.reduce((sum, row) => sum + row.reserved, 0);
    };
    expect(await reserved()).toBe(3);
    await given.attach({ driver: 'generic', count: 4 });
    await given.pass('make-allocations');
    expect(await stateOf(bench)).toEqual([
      'reserved made',
      'reserved null',
      'reserved null',
      'reserved null',
    ]);
    expect(cloud.consumers.size).toBe(1);
    expect(await reserved(), 'as before').toBe(3);
  });

  it('waits for an earlier holder to be taken back, instead of refusing', async ({ expect }) => {
    await using given = await setUp(1);
    const { bench, cloud, deps, host } = given;
    await given.attach();
    await given.pass('make-allocations');
    await obey(deps, host);
    await given.detach();
    await obey(deps, host);
    await given.attach();
    await given.pass('make-allocations');
    expect(await stateOf(bench)).toEqual(['released made', 'reserved wanted']);
    await given.pass('remove-allocations');
    await later(bench);
    await given.pass('make-allocations');
    expect(await stateOf(bench)).toEqual(['released null', 'reserved made']);
    expect(cloud.consumers.size).toBe(1);
  });

  it('waits until Placement has heard that it can be given again', async ({ expect }) => {
    await using given = await setUp(1);
    const { bench, cloud, db, providers } = given;
    const [rpUuid = ''] = providers;
    const row = await db
      .selectFrom('placement_provider')
      .select('synced')
      .where('rp_uuid', '=', rpUuid)
      .executeTakeFirstOrThrow();
    const tell = (reserved: number): Promise<unknown> =>
      db
        .updateTable('placement_provider')
        .set({ synced: toJson({ ...row.synced, reserved }) })
        .where('rp_uuid', '=', rpUuid)
        .execute();
    await tell(1);
    cloud.totals.set(rpUuid, 0);
    await given.attach();
    await given.pass('make-allocations');
    expect(await stateOf(bench)).toEqual(['reserved wanted']);
    await tell(0);
    cloud.totals.set(rpUuid, 1);
    await later(bench);
    await given.pass('make-allocations');
    expect(await stateOf(bench)).toEqual(['reserved made']);
  });

  it('goes on after a conductor died between reserving and allocating', async ({ expect }) => {
    await using given = await setUp(1);
    const { bench, deps, host } = given;
    await given.attach();
    await claimAllocations(given.db, 'make', claimOf({ ...deps, replicaId: randomUUID() }, 8));
    await given.pass('make-allocations');
    expect(await stateOf(bench)).toEqual(['reserved wanted']);
    await later(bench);
    await given.pass('make-allocations');
    await obey(deps, host);
    expect(await stateOf(bench)).toEqual(['attached made']);
  });

  it('goes on after a conductor died between allocating and noting it', async ({ expect }) => {
    await using given = await setUp(1);
    const { bench, cloud, deps, host } = given;
    await given.attach();
    cloud.deaf.add('placement');
    await given.pass('make-allocations');
    expect([cloud.consumers.size, await stateOf(bench)]).toEqual([1, ['reserved wanted']]);
    cloud.deaf.delete('placement');
    // As if nobody had noted the attempt either.
    const untried = {
      attempts: 0,
      next_attempt_at: null,
      claimed_by: null,
      claim_expires_at: null,
    };
    await given.db.updateTable('attachment').set(untried).execute();
    await given.pass('make-allocations');
    await later(bench);
    await given.pass('make-allocations');
    expect([cloud.consumers.size, await stateOf(bench)]).toEqual([1, ['reserved made']]);
    await obey(deps, host);
    expect(await stateOf(bench)).toEqual(['attached made']);
  });

  it('goes on after a conductor died between allocating and telling the host', async ({
    expect,
  }) => {
    await using given = await setUp(1);
    const { bench, deps, host } = given;
    await given.attach();
    await given.pass('make-allocations');
    expect(await ordersOf(deps, host)).toEqual([]);
    // Another conductor, from nothing but the rows.
    await dispatch({ ...deps, replicaId: randomUUID() });
    expect((await ordersOf(deps, host)).map(({ kind }) => kind)).toEqual(['attach']);
    expect(await stateOf(bench)).toEqual(['attaching made']);
  });

  it('goes on after an agent died between plugging and reporting', async ({ expect }) => {
    await using given = await setUp(1);
    const { bench, deps, host } = given;
    await given.attach();
    await given.pass('make-allocations');
    await dispatch(deps);
    const [order] = await ordersOf(deps, host);
    // Plugged, and nobody was told: the next agent gets the same order, with the same epoch, and says so.
    expect(await ordersOf(deps, host)).toEqual([order]);
    await obey(deps, host);
    expect(await stateOf(bench)).toEqual(['attached made']);
  });

  it('is caught up after an outage, and given back when the request ran out of time meanwhile', async ({
    expect,
  }) => {
    await using given = await setUp();
    const { bench, cloud, deps, clock } = given;
    await given.attach({ driver: 'generic' });
    cloud.deaf.add('placement');
    await given.pass('make-allocations');
    cloud.deaf.delete('placement');
    cloud.away.add('placement');
    const overdue = endOverdueOperations(deps);
    await clock.advance((deps.limits.attachDeadlineSeconds + 1) * 1000);
    await overdue.pass(new AbortController().signal);
    expect([cloud.consumers.size, await stateOf(bench)]).toEqual([1, ['released wanted']]);
    await given.pass('remove-allocations');
    cloud.away.delete('placement');
    await later(bench);
    await given.pass('remove-allocations');
    expect(cloud.consumers.size).toBe(0);
    await clock.advance(allocationLimits.lateMs);
    await given.pass('remove-allocations');
    expect(await stateOf(bench)).toEqual(['released null']);
  });

  it('is put back when somebody took it away', async ({ expect }) => {
    await using given = await setUp(1);
    const { cloud, deps, host, clock } = given;
    await given.attach();
    await given.pass('make-allocations');
    await obey(deps, host);
    const others = { allocations: {}, project_id: 'beta', user_id: 'someone' };
    cloud.consumers.clear();
    cloud.consumers.set('not-ours', others);
    await clock.advance(2 * allocationLimits.checkEveryMs);
    await given.pass('check-allocations');
    expect(cloud.consumers.size).toBe(2);
    expect(cloud.consumers.get('not-ours')).toBe(others);
  });

  it('is nothing for what Placement does not count, and never of class VGPU', async ({
    expect,
  }) => {
    await using uncounted = await openNovaBench({ count: 1 });
    await uncounted.attach();
    expect(await stateOf(uncounted), 'no provider').toEqual(['reserved null']);
    await using vgpu = await setUp(1, 'VGPU');
    await vgpu.attach();
    expect(await stateOf(vgpu.bench)).toEqual(['reserved null']);
  });
});

import { describe, it } from 'vitest';

import { admin, setUp } from '../../test/attaching.ts';
import { makeInstanceHandlers } from './handlers.ts';

describe('the project of an instance', () => {
  it('is the new one for an attach that is asked for while it changes', async ({ expect }) => {
    const { database, db, instances, attach } = await setUp({ count: 1, instances: 1 });
    await using _ = database;
    let attached: Promise<unknown> = Promise.resolve();
    await db.transaction().execute(async (tx) => {
      // As the change locks it.
      await tx.selectFrom('instance').select('id').forUpdate().execute();
      attached = attach();
      await expect.poll(database.someoneWaits, { timeout: 20_000 }).toBe(true);
      await tx.updateTable('instance').set({ project_id: 'beta' }).execute();
    });
    await attached;
    const held = await db.selectFrom('attachment').select(['instance_id', 'project_id']).execute();
    expect(held).toEqual([{ instance_id: instances[0]!.id, project_id: 'beta' }]);
  });

  it('stays while it holds something', async ({ expect }) => {
    const { database, deps, instances, attach } = await setUp({ count: 1, instances: 1 });
    await using _ = database;
    await attach();
    const { updateInstance } = makeInstanceHandlers(deps);
    const params = { instance_id: instances[0]!.id };
    await expect(
      updateInstance(admin, { params, query: {}, body: { project_id: 'beta' } }),
    ).rejects.toMatchObject({ code: 'in-use' });
  });
});

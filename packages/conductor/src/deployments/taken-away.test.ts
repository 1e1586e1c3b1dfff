import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { toJson } from '@cyborg/store/json';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { registerBuiltinDrivers, type BuiltinManifest } from '../ledger/builtin-drivers.ts';
import { makeTestDeps } from '../test-deps.ts';
import { makeDeploymentHandlers } from './handlers.ts';

const manifestFile = join(import.meta.dirname, '../../../../drivers/generic/manifest.json');
const generic: BuiltinManifest = JSON.parse(readFileSync(manifestFile, 'utf8'));
const admin = callerOf('admin', 'ops');
const params = { driver_id: 'generic' };

/** One backend of the kind, and one accelerator of it that an instance of project beta holds. */
async function setUp(kind: string, config: Record<string, unknown>, held: Record<string, unknown>) {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  await registerBuiltinDrivers(deps, [{ ...generic, version: '1.0.0' }]);
  const host = await addHost(db, { name: 'h' });
  const handlers = makeDeploymentHandlers(deps);
  const backends = [{ name: 'b', kind, config }];
  await handlers.installDriver(admin, { params, query: {}, body: { backends } });
  const backend = await addBackend(db, host, { name: 'b', kind, config: toJson(config) });
  const instance_id = crypto.randomUUID();
  const project_id = 'beta';
  const state = 'attached' as const;
  const changes = { state, instance_id, project_id, attachment_id: crypto.randomUUID() };
  await addAccelerators(db, backend, { count: 1, ...changes, ...held });
  const update = (change: Record<string, unknown>, query = {}, caller = admin) =>
    handlers.updateDriver(caller, {
      params,
      query,
      body: { backends: [{ name: 'b', config: change }] },
    });
  return { database, db, update, instance_id };
}

const taken = { code: 'in-use' };

describe('an update of a configuration that takes away what is held', () => {
  it('is refused with the users when a count shrinks below it', async ({ expect }) => {
    const { database, update, instance_id } = await setUp('virtual', {}, { key: 'crypto-2' });
    await using _ = database;
    await update({ crypto: 3 });
    const shrinking = update({ crypto: 2 });
    await expect(shrinking).rejects.toMatchObject({
      ...taken,
      extra: { users: [{ instance_id }] },
    });
    await expect(shrinking).rejects.toThrow(/crypto-2 on h .*Detach them first, or force it/);
    expect(await update({ crypto: 2 }, { dry_run: true })).toMatchObject({ would_succeed: false });
    await update({ crypto: 2, additional: [{ key: 'crypto-2', function: 'crypto' }] });
  });

  it('is for an admin to force, and an event names the actor and what is kept', async ({
    expect,
  }) => {
    const { database, db, update, instance_id } = await setUp('virtual', {}, { key: 'crypto-3' });
    await using _ = database;
    const manager = callerOf('manager', 'alpha');
    await expect(update({ crypto: 0 }, { force: true }, manager)).rejects.toMatchObject({
      code: 'forbidden',
    });
    await update({ crypto: 0 }, { force: true });
    const [event] = await db
      .selectFrom('event')
      .select(['user_id', 'data'])
      .where('kind', '=', 'driver.forced-update')
      .execute();
    expect(event).toMatchObject({
      user_id: admin.userId,
      data: { forced: true, kept: [{ instance_id }] },
    });
    const left = await db.selectFrom('accelerator').select(['state', 'instance_id']).execute();
    expect(left).toEqual([{ state: 'attached', instance_id }]);
  });

  it('is refused when a declared one goes, or stands for something else', async ({ expect }) => {
    const entry = (address: string) => ({ key: 'a', type: 'GPU', plan: { kind: 'pci', address } });
    const config = { accelerators: [entry('0000:21:00.0')] };
    const { database, update } = await setUp('static', config, { key: 'a' });
    await using _ = database;
    await expect(update({ accelerators: [] })).rejects.toMatchObject(taken);
    await expect(update({ accelerators: [entry('0000:22:00.0')] })).rejects.toMatchObject(taken);
    await update({ accelerators: [{ ...entry('0000:21:00.0'), name: 'mine' }] });
  });

  it('is refused when rules leave its function out', async ({ expect }) => {
    const rules = [{ address: '0000:21:*' }, { kernel_driver: 'nvme' }];
    const config = { classes: [], rules };
    const attach_info = { domain: '0000', bus: '21', device: '00', function: '1' };
    const { database, db, update } = await setUp('pci', config, {
      key: 'a',
      attach_info: toJson(attach_info),
    });
    await using _ = database;
    await db.updateTable('device').set({ address: '0000:21:00.0', vendor_id: '0x10de' }).execute();
    await expect(update({ rules: [{ address: '0000:22:*' }] })).rejects.toMatchObject(taken);
    await expect(update({ exclude: [{ address: '0000:21:00.1' }] })).rejects.toMatchObject(taken);
    await expect(update({ exclude: [{ vendor: '10de' }] })).rejects.toMatchObject(taken);
    // What the ledger does not know of a virtual function may be what excludes it.
    await expect(update({ exclude: [{ device: '154c' }] })).rejects.toMatchObject(taken);
    await update({ exclude: [{ vendor: '8086' }], offer: 'none' });
    await update({ rules: [{ vendor: '10de' }] });
  });
});

/** A second database in the fleet's PostgreSQL: the same schema, one host, its accelerators; no server looks at it. */
import { connect } from '@cyborg/store/connect';
import { migrateToLatest } from '@cyborg/store/migrate';
import { addAccelerators, addBackend, addHost, addInstance } from '@cyborg/testing/fleet';
import { quietLog } from '@cyborg/testing/log';
import pg from 'pg';

import type { RawScope } from './raw-cycle.ts';

const clients = 16;

export interface RawDatabase extends AsyncDisposable {
  readonly pool: pg.Pool;
  readonly scope: RawScope;
  /** Leaves this many accelerators attached. */
  hold(count: number): Promise<void>;
}

export async function openRawDatabase(
  fleetUrl: string,
  accelerators: number,
  name = 'bench_raw',
): Promise<RawDatabase> {
  const admin = new pg.Client({ connectionString: fleetUrl });
  await admin.connect();
  await admin.query(`create database ${name}`);
  await admin.end();
  const url = fleetUrl.replace('/cyborg?', `/${name}?`);
  const { db } = connect({ url, log: quietLog });
  await migrateToLatest(db);
  const host = await addHost(db);
  const backend = await addBackend(db, host);
  await addAccelerators(db, backend, { count: accelerators });
  const instance = await addInstance(db, host);
  await db.destroy();
  const pool = new pg.Pool({ connectionString: url, max: clients });
  await pool.query('analyze');
  const scope = { hostId: host.id, backendId: backend.id, instanceId: instance.id };
  return {
    pool,
    scope,
    hold: (count) => holdRows(pool, scope, count),
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

async function holdRows(pool: pg.Pool, scope: RawScope, count: number): Promise<void> {
  await pool.query(
    `with chosen as (select id from accelerator where state = 'available' order by id limit $1),
      given as (
        insert into attachment (id, accelerator_id, host_id, instance_id, project_id, user_id, origin, state, plugged_by, created_at)
        select gen_random_uuid(), id, $2, $3, 'bench', 'bench', 'cyborg', 'attached', 'agent', now() from chosen
        returning id, accelerator_id)
    update accelerator set state = 'attached', attachment_id = given.id, instance_id = $3, project_id = 'bench'
      from given where accelerator.id = given.accelerator_id`,
    [count, scope.hostId, scope.instanceId],
  );
}

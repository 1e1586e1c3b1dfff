import { v2TypeByType } from '@cyborg/model/v2/types';
import { acceleratorTypes } from '@cyborg/model/accelerator-types';
import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost } from '@cyborg/testing/fleet';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { streamAttributes } from './attributes.ts';
import { batchRowsMax } from './batches.ts';
import { deployableSorts, streamDeployables } from './deployables.ts';
import { deviceSorts, streamDevices } from './devices.ts';

const devices = 2 * batchRowsMax + 3;

async function read<Row>(batches: AsyncIterable<readonly Row[]>): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const batch of batches) rows.push(...batch);
  return rows;
}

describe('a v2 list that is longer than a batch', () => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>;
  beforeAll(async () => {
    database = await openTestDatabase();
    const { db } = database;
    const host = await addHost(db, { name: 'node-1' });
    const backend = await addBackend(db, host);
    await sql`insert into device (id, host_id, backend_id, key, type, vendor_id, model, presence, health, created_at)
      select gen_random_uuid(), ${host.id}::uuid, ${backend.id}::uuid, 'd' || n,
        case n % 5 when 0 then 'ENTROPY' when 1 then 'GPU' when 2 then 'NIC' when 3 then 'CRYPTO' else 'FPGA' end,
        '0x' || (n % 7), 'model ' || (n % 3), 'present', 'healthy', timestamptz '2026-01-01' + (n / 100) * interval '1 second'
      from generate_series(1, ${sql.lit(Math.ceil((devices * 5) / 4))}) n`.execute(db);
    await sql`insert into deployable (id, device_id, key, name, resource_class, in_v2, created_at)
      select gen_random_uuid(), id, 'p', 'part ' || number, 'FPGA', v2_type is not null, created_at from device
      order by number`.execute(db);
    await sql`insert into attribute (id, deployable_id, key, value, created_at)
      select gen_random_uuid(), id, 'rc', 'FPGA', created_at from deployable where in_v2`.execute(
      db,
    );
    await sql`insert into accelerator (id, deployable_id, device_id, backend_id, host_id, key, name, type,
        resource_class, driver_id, state, rule_offers, presence, health, epoch, created_at)
      select gen_random_uuid(), d.id, d.device_id, ${backend.id}::uuid, ${host.id}::uuid, 'a' || d.number, 'a', 'GPU',
        'FPGA', 'generic', 'available', true, 'present', 'healthy', 1, d.created_at from deployable d`.execute(
      db,
    );
    await sql`analyze`.execute(db);
  });
  afterAll(async () => database[Symbol.asyncDispose]());

  it('has every row once, in every order', async ({ expect }) => {
    const { db } = database;
    for (const direction of ['asc', 'desc'] as const) {
      for (const [name, sort] of Object.entries(deviceSorts)) {
        const rows = await read(
          streamDevices(db, { filter: {}, sort: { ...sort, direction }, limit: undefined }),
        );
        expect(new Set(rows.map(({ id }) => id)).size, `${name} ${direction}`).toBe(rows.length);
        expect(rows.length, `${name} ${direction}`).toBeGreaterThanOrEqual(devices);
      }
      for (const [name, sort] of Object.entries(deployableSorts)) {
        const rows = await read(
          streamDeployables(db, {
            name: undefined,
            sort: { ...sort, direction },
            limit: undefined,
          }),
        );
        expect(new Set(rows.map(({ id }) => id)).size, `${name} ${direction}`).toBe(rows.length);
        expect(rows.length, `${name} ${direction}`).toBeGreaterThanOrEqual(devices);
      }
    }
    expect((await read(streamAttributes(db, {}))).length).toBeGreaterThanOrEqual(devices);
  });

  it('ends at its limit, also across batches', async ({ expect }) => {
    const sort = { ...deviceSorts.created_at, direction: 'desc' } as const;
    for (const limit of [0, 1, batchRowsMax, batchRowsMax + 1, 10 * devices]) {
      const rows = await read(streamDevices(database.db, { filter: {}, sort, limit }));
      expect(rows.length, String(limit)).toBe(Math.min(limit, rows.length));
      if (limit <= batchRowsMax + 1) expect(rows.length).toBe(limit);
    }
  });

  it('reads by index no more than it shows', async ({ expect }) => {
    const newest = { ...deviceSorts.created_at, direction: 'desc' } as const;
    const byNumber = { ...deviceSorts.id, direction: 'asc' } as const;
    const limit = 5;
    await database.db.connection().execute(async (db) => {
      const wholeReads = async (): Promise<number> => {
        await sql`select pg_stat_force_next_flush()`.execute(db);
        const { rows } = await sql<{ sum: number }>`select sum(seq_scan)::integer as sum
          from pg_stat_user_tables where relname in ('device', 'deployable', 'attribute', 'accelerator')`.execute(
          db,
        );
        return rows[0]?.sum ?? -1;
      };
      const lists: Record<string, () => AsyncGenerator<readonly object[]>> = {
        'all devices': () => streamDevices(db, { filter: {}, sort: byNumber, limit }),
        'devices of a type': () =>
          streamDevices(db, { filter: { type: 'GPU' }, sort: newest, limit }),
        'devices of a vendor': () =>
          streamDevices(db, { filter: { vendor: '5' }, sort: newest, limit }),
        'newest devices': () => streamDevices(db, { filter: {}, sort: newest, limit }),
        'devices of no host': () =>
          streamDevices(db, { filter: { hostname: 'nowhere' }, sort: newest, limit }),
        'all deployables': () =>
          streamDeployables(db, {
            name: undefined,
            sort: { ...deployableSorts.id, direction: 'asc' },
            limit,
          }),
        'a named deployable': () =>
          streamDeployables(db, {
            name: 'part 7',
            sort: { ...deployableSorts.created_at, direction: 'desc' },
            limit,
          }),
        'attributes of a deployable': () => streamAttributes(db, { deployable: 7 }),
        'attributes of a key that nobody has': () => streamAttributes(db, { key: 'nothing' }),
      };
      for (const [name, list] of Object.entries(lists)) {
        const before = await wholeReads();
        await read(list());
        expect((await wholeReads()) - before, name).toBe(0);
      }
      const before = await wholeReads();
      await sql`select count(*) from device where info = '{"no": "index"}'`.execute(db);
      expect((await wholeReads()) - before, 'what such a reading looks like').toBe(1);
    });
  });

  it('knows types by the same words as the model', async ({ expect }) => {
    const { rows } = await sql<{ type: string; v2_type: string | null }>`
      select distinct type, v2_type from device`.execute(database.db);
    const { rows: defined } = await sql<{ text: string }>`
      select pg_get_expr(adbin, adrelid) as text from pg_attrdef join pg_attribute on attrelid = adrelid and attnum = adnum
      where adrelid = 'device'::regclass and attname = 'v2_type'`.execute(database.db);
    for (const { type, v2_type: v2Type } of rows) expect(v2TypeByType[type] ?? null).toBe(v2Type);
    const text = defined[0]?.text ?? '';
    for (const type of acceleratorTypes) {
      const [, word = null] = new RegExp(`WHEN '${type}'::text THEN '(\\w+)'`).exec(text) ?? [];
      expect(word, type).toBe(v2TypeByType[type] ?? null);
    }
  });
});

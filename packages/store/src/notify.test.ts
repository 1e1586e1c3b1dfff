import { openTestDatabase } from '@cyborg/testing/database';
import { quietLog } from '@cyborg/testing/log';
import { describe, it, vi } from 'vitest';

import { startNotifier } from './notify.ts';

describe('startNotifier', () => {
  it('tells other replicas, not itself, and listens again after its connection was cut', async ({
    expect,
  }) => {
    await using database = await openTestDatabase();
    const heard: string[] = [];
    const own: string[] = [];
    await using teller = startNotifier({
      url: database.url,
      senderId: 'a',
      log: quietLog,
      onHint: (topics) => own.push(...topics),
    });
    await using _listener = startNotifier({
      url: database.url,
      senderId: 'b',
      log: quietLog,
      onHint: (topics) => heard.push(...topics),
    });
    await vi.waitUntil(() => {
      teller.tell(['work']);
      return heard.includes('work');
    });
    await database.pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'cyborg-notify' and datname = current_database()",
    );
    heard.length = 0;
    await vi.waitUntil(
      () => {
        teller.tell(['events']);
        return heard.includes('events');
      },
      { timeout: 10_000 },
    );
    expect(own).toEqual([]);
  });
});

import { openTestDatabase } from '@cyborg/testing/database';
import { quietLog } from '@cyborg/testing/log';
import { describe, it, vi } from 'vitest';

import { startNotifier } from './notify.ts';

/** A listener connects, and connects again after its connection was cut. */
const inTime = { timeout: 40_000 };

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
    }, inTime);
    await database.pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'cyborg-notify' and datname = current_database()",
    );
    heard.length = 0;
    await vi.waitUntil(() => {
      teller.tell(['events']);
      return heard.includes('events');
    }, inTime);
    expect(own).toEqual([]);
  });

  it('tells many at once, one statement after the other', async ({ expect }) => {
    await using database = await openTestDatabase();
    const warnings: string[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning.message);
    process.on('warning', onWarning);
    const heard = new Set<string>();
    await using teller = startNotifier({
      url: database.url,
      senderId: 'a',
      log: quietLog,
      onHint: () => {},
    });
    await using _listener = startNotifier({
      url: database.url,
      senderId: 'b',
      log: quietLog,
      onHint: (topics) => topics.forEach((topic) => heard.add(topic)),
    });
    const topics = Array.from({ length: 1000 }, (_value, index) => `host:${index}`);
    await vi.waitUntil(() => {
      teller.tell(topics);
      return topics.every((topic) => heard.has(topic));
    }, inTime);
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });
});

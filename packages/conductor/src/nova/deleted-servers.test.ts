import { describe, it } from 'vitest';

import { openNovaBench } from '../../test/attach-with-nova.ts';
import { releaseVanished } from '../reconcilers/release-vanished.ts';
import { obey } from '../test-agent.ts';

const idle = new AbortController().signal;

async function vanished(count: number) {
  const bench = await openNovaBench({ count });
  await bench.attach({ count });
  await obey(bench.deps, bench.host);
  const gone = { is_present: false, is_vanished: true, missing_since: bench.clock.now() };
  await bench.db.updateTable('instance').set(gone).execute();
  const detaching = async (): Promise<number> => {
    const rows = await bench.db.selectFrom('attachment').select('state').execute();
    return rows.filter(({ state }) => state === 'detaching').length;
  };
  return { bench, detaching, release: () => releaseVanished(bench.deps).pass(idle) };
}

describe('a server that has vanished from its hypervisor', () => {
  it('gives back all that it holds at once when Nova has its deletion on record', async ({
    expect,
  }) => {
    const { bench, detaching, release } = await vanished(3);
    await using _ = bench;
    bench.server.status = 'DELETED';
    await bench.pass('follow-nova-changes');
    // Asked for it by its id, Nova has forgotten it already: that changes nothing.
    bench.cloud.servers.delete(bench.server.id);
    await bench.clock.advance(4_000_000);
    await bench.pass('look-at-servers');
    await release();
    expect(await detaching()).toBe(3);
    const host = await bench.db.selectFrom('host').select('conditions').executeTakeFirstOrThrow();
    expect(host.conditions).toEqual([]);
    const operation = await bench.db
      .selectFrom('operation')
      .select('subject')
      .where('user_id', 'like', 'system:%')
      .executeTakeFirstOrThrow();
    expect(operation.subject).toMatchObject({ cause: 'deleted' });
  });

  it('gives back little when Nova only knows no such server: many may be lost to it by mistake', async ({
    expect,
  }) => {
    const { bench, detaching, release } = await vanished(3);
    await using _ = bench;
    bench.cloud.servers.delete(bench.server.id);
    await bench.clock.advance(61_000);
    await bench.pass('look-at-servers');
    await release();
    await release();
    expect(await detaching()).toBe(1);
  });
});

import { addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { setUp } from '../../test/attaching.ts';
import { dispatch, obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { ordersFingerprint } from './orders.ts';

describe('the fingerprint of a host', () => {
  it('differs whenever its orders do', async ({ expect }) => {
    const { database, db, deps, host, attach, detach } = await setUp({ count: 2 });
    await using _ = database;
    const other = await addHost(db);
    const seen: (string | undefined)[] = [];
    const look = async (): Promise<void> => {
      const all = await ordersFingerprint(db, [host.id, other.id]);
      expect(all.has(other.id)).toBe(false);
      seen.push(all.get(host.id));
    };
    await look();
    await attach();
    await dispatch(deps);
    await look();
    await attach();
    await dispatch(deps);
    await look();
    await detach();
    await look();
    await report(
      deps,
      host,
      (await ordersOf(deps, host)).slice(0, 1).map((order) => outcomeOf(order)),
    );
    await look();
    expect(new Set(seen).size).toBe(seen.length);
    await obey(deps, host);
    await look();
    expect(seen.at(-1)).toBeUndefined();
  });
});

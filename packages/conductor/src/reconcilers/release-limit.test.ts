import fc from 'fast-check';
import { describe, it } from 'vitest';

import { planReleases } from './release-limit.ts';

const limits = { releaseShareMax: 0.05 };

const fleet = fc.array(
  fc.record({
    missing: fc.nat(30),
    live: fc.nat(200),
    released: fc.nat(5),
    isStopped: fc.boolean(),
  }),
  { maxLength: 6 },
);

describe('planReleases', () => {
  it('never moves more than one or 5 % of a host or of the fleet, and never of a stopped host', ({
    expect,
  }) => {
    fc.assert(
      fc.property(fleet, (hosts) => {
        const named = hosts.map((host, index) => ({
          ...host,
          id: `host-${index}`,
          live: host.live + host.missing,
        }));
        const candidates = named.flatMap((host) =>
          Array.from({ length: host.missing }, (_value, n) => ({
            host_id: host.id,
            attachment_id: `${host.id}-${n}`,
          })),
        );
        const counts = new Map(named.map((host) => [host.id, host]));
        const stopped = new Set(named.filter((host) => host.isStopped).map((host) => host.id));
        const plan = planReleases({ candidates, counts, stopped }, limits);
        const most = (live: number): number => Math.max(1, Math.floor(live * 0.05));
        for (const host of named) {
          const moved = plan.release.filter((item) => item.host_id === host.id).length;
          if (moved > 0)
            expect(moved + host.released).toBeLessThanOrEqual(most(host.live + host.released));
          if (host.isStopped) expect(moved).toBe(0);
          const isLeft = !host.isStopped && host.missing > most(host.live + host.released);
          if (isLeft) expect(plan.stopped).toContain(host.id);
        }
        const total = named.reduce((sum, host) => sum + host.live + host.released, 0);
        expect(plan.release.length).toBeLessThanOrEqual(most(total));
      }),
    );
  });
});

import { describe, it } from 'vitest';

import { backoffMs } from './backoff.ts';
import { systemClock } from './clock.ts';
import { makeLogger } from './logging.ts';
import { makeMetrics } from './metrics.ts';
import { systemRng } from './rng.ts';

describe('backoffMs', () => {
  it('doubles its bound up to the longest, and takes any part of it', ({ expect }) => {
    const limits = { firstMs: 100, maxMs: 1000 };
    const last = { ...systemRng, fraction: () => 0.5 };
    const pauses = [1, 2, 3, 4, 5, 2000].map((attempt) => backoffMs(attempt, limits, last));
    expect(pauses).toEqual([50, 100, 200, 400, 500, 500]);
    expect(backoffMs(9, limits, { ...systemRng, fraction: () => 0 })).toBe(0);
  });
});

describe('makeMetrics', () => {
  it('shares nothing between two of them', async ({ expect }) => {
    const [one, other] = [makeMetrics(), makeMetrics()];
    const options = { name: 'requests_total', help: 'Requests', labels: ['route'] } as const;
    one.counter(options).inc({ route: '/v3' });
    other.counter(options);
    expect(await one.text()).toContain('cyborg_requests_total{route="/v3"} 1');
    expect(await other.text()).not.toContain('route="/v3"');
  });
});

describe('makeLogger', () => {
  const written = (format: 'json' | 'lines'): string[] => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const log = makeLogger({
      name: 'cyborg-server',
      level: 'info',
      clock: { ...systemClock, now: () => new Date(0) },
      format,
      destination,
    });
    log.info(
      { host: 'node-1', password: 'hunter2', err: new Error('broken') },
      'lost a connection',
    );
    log.debug('not this');
    return lines;
  };

  it('writes one JSON object per line, without secrets', ({ expect }) => {
    const lines = written('json');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      time: '1970-01-01T00:00:00.000Z',
      host: 'node-1',
      password: '(hidden)',
      err: { message: 'broken' },
      msg: 'lost a connection',
    });
  });

  it('writes short lines for a person', ({ expect }) => {
    expect(written('lines')).toEqual([
      '00:00:00 INFO  lost a connection (host=node-1 password=(hidden)): broken\n',
    ]);
  });
});

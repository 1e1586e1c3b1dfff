import { openTestDatabase } from '@cyborg/testing/database';
import { describe, it } from 'vitest';

import { basicAuth, openTestApp } from '../test-app.ts';

describe('a quota', () => {
  it('of a type that does not exist, below zero or too large is refused with field and value', async ({
    expect,
  }) => {
    await using server = await openTestApp(await openTestDatabase());
    const set = async (type: string, accelerators_max: unknown): Promise<string> => {
      const answer = await server.app.inject({
        method: 'PUT',
        url: '/v3/quotas/demo',
        headers: { authorization: basicAuth('admin') },
        payload: { limits: [{ type, accelerators_max }] },
      });
      return answer.statusCode === 200 ? 'set' : answer.json<{ detail: string }>().detail;
    };
    expect(await set('GPU', 2)).toBe('set');
    expect(await set('BOGUS', 2)).toMatch(/^body\.limits\.0\.type: "BOGUS" is not allowed.*GPU/);
    const place = /^body\.limits\.0\.accelerators_max: /;
    expect(await set('GPU', -1)).toMatch(place);
    expect(await set('GPU', -1)).toContain('-1 is not allowed; it must be >= 0, or must be null');
    expect(await set('GPU', 1_000_001)).toContain('must be <= 1000000');
  });
});

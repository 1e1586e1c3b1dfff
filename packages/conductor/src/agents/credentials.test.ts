import { describe, it } from 'vitest';

import { admin, nothing, openBench, uuid } from '../../test/agents.ts';
import { makeHostHandlers } from '../hosts/handlers.ts';
import { makeAuthenticator, makeSecret } from './credentials.ts';

describe('secrets', () => {
  it('are values of an option, whatever was drawn', ({ expect }) => {
    // As base64url these bytes begin with a dash.
    const bytes = (size: number): Buffer => Buffer.alloc(size, 0xfb);
    const { secret } = makeSecret({ bytes, uuid: () => '', fraction: () => 0 });
    expect(secret).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('a revoked credential', () => {
  it('is refused at once here, and its lease cannot be renewed', async ({ expect }) => {
    await using bench = await openBench();
    const host = await bench.join('h1');
    const authenticator = makeAuthenticator(bench.deps);
    expect(await authenticator.authenticateAgent(host.credential)).toBeDefined();
    const hosts = makeHostHandlers(bench.deps, () => authenticator.forget());
    await hosts.revokeHost(admin, { ...nothing, params: { host: 'h1' }, body: undefined });
    expect(await authenticator.authenticateAgent(host.credential)).toBeUndefined();
    await expect(bench.renew(host, uuid())).rejects.toMatchObject({ code: 'not-authenticated' });
  });
});

import { createHash } from 'node:crypto';

import { carriedOut } from '@cyborg/testing/carried-out';
import { addAccelerators, addBackend } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { admin, enrolment, nothing, openBench, uuid } from '../../test/agents.ts';
import { makeHostHandlers } from '../hosts/handlers.ts';
import { makeAuthenticator } from './credentials.ts';

describe('enrolment', () => {
  it('gives a credential for a token, once, and knows the host by it', async ({ expect }) => {
    await using bench = await openBench();
    const token = await bench.token();
    const enrolled = await bench.agents.enroll(null, { ...nothing, body: enrolment(token, 'h1') });
    const authenticator = makeAuthenticator(bench.deps);

    expect(await authenticator.authenticateAgent(enrolled.credential)).toEqual({
      id: enrolled.host_id,
      name: 'h1',
    });
    expect(await authenticator.authenticateAgent('x')).toBeUndefined();
    await bench.renew({ id: enrolled.host_id, name: 'h1' }, uuid());
    bench.clock.jumpWallClock(1000);
    await expect(
      bench.agents.enroll(null, { ...nothing, body: enrolment(token, 'h2') }),
    ).rejects.toMatchObject({ code: 'enrolment-refused' });
    await expect(
      bench.agents.enroll(null, { ...nothing, body: enrolment(token, 'h1') }),
    ).rejects.toThrow(/was used/);
    const kept = await bench.database.db.selectFrom('join_token').selectAll().execute();
    expect(JSON.stringify(kept)).not.toContain(token);
    const host = await bench.database.db.selectFrom('host').selectAll().executeTakeFirstOrThrow();
    expect(host.credential_hash).toBe(
      createHash('sha256').update(enrolled.credential).digest('hex'),
    );
  });

  it('answers again when the first answer was lost', async ({ expect }) => {
    await using bench = await openBench();
    const token = await bench.token();
    const body = enrolment(token, 'h1');
    const lost = await bench.agents.enroll(null, { ...nothing, body });
    const again = await bench.agents.enroll(null, { ...nothing, body });
    expect(again.host_id).toBe(lost.host_id);
    expect(again.credential).not.toBe(lost.credential);
  });

  it('refuses a token that has expired or is for another host', async ({ expect }) => {
    await using bench = await openBench();
    const bound = await bench.token('h1');
    await expect(
      bench.agents.enroll(null, { ...nothing, body: enrolment(bound, 'h2') }),
    ).rejects.toThrow(/is for host h1/);
    bench.clock.jumpWallClock(3_600_001);
    await expect(
      bench.agents.enroll(null, { ...nothing, body: enrolment(bound, 'h1') }),
    ).rejects.toThrow(/expired/);
  });

  it('needs host-reenroll for a known host, which revokes the old credential alone', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await bench.join('h1');
    const backend = await addBackend(db, host);
    const [accelerator] = await addAccelerators(db, backend, { count: 1, state: 'attached' });
    await expect(bench.join('h1')).rejects.toThrow(/host-reenroll h1/);

    const hosts = makeHostHandlers(bench.deps);
    const made = await hosts.reenrollHost(admin, {
      ...nothing,
      params: { host: 'h1' },
      body: undefined,
    });
    const { token } = carriedOut(made);
    const atOnce = makeAuthenticator(bench.deps);
    expect(await atOnce.authenticateAgent(host.credential)).toBeUndefined();
    const again = await bench.agents.enroll(null, { ...nothing, body: enrolment(token, 'h1') });

    const authenticator = makeAuthenticator(bench.deps);
    expect(again.host_id).toBe(host.id);
    expect(await authenticator.authenticateAgent(host.credential)).toBeUndefined();
    expect(await authenticator.authenticateAgent(again.credential)).toBeDefined();
    const kept = await db
      .selectFrom('accelerator')
      .selectAll()
      .where('id', '=', accelerator?.id ?? '')
      .executeTakeFirst();
    expect(kept).toEqual(accelerator);
  });
});

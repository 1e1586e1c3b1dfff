import { v3Operations } from '@cyborg/api-spec/v3';
import { policy } from '@cyborg/model/policy';
import { openTestDatabase } from '@cyborg/testing/database';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { basicAuth, openTestApp, testUsers } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';

const roleImplies = {
  admin: ['admin', 'manager', 'member', 'reader'],
  manager: ['manager', 'member', 'reader'],
  member: ['member', 'reader'],
  reader: ['reader'],
  service: ['service'],
} as const;

/** A path that the schemas accept and that names nothing. */
function pathOf(url: string, project = 'tenants'): string {
  const id = '00000000-0000-4000-8000-000000000000';
  return url.replaceAll(':project_id', project).replaceAll(/:([a-z_]+)/g, id);
}

describe('the policy table', () => {
  let server: TestApp;
  beforeAll(async () => {
    server = await openTestApp(await openTestDatabase());
  });
  afterAll(async () => server[Symbol.asyncDispose]());

  it('names an action for every operation but "who am I"', ({ expect }) => {
    for (const [name, { action }] of Object.entries(v3Operations)) {
      if (name === 'showCaller') expect(action).toBeNull();
      else expect(Object.keys(policy), `${name} needs an action of the policy`).toContain(action);
    }
  });

  for (const [name, { method, url, action }] of Object.entries(v3Operations)) {
    it(`lets exactly the roles of ${action ?? 'the known'} use ${name}`, async ({ expect }) => {
      for (const user of testUsers) {
        const answer = await server.app.inject({
          method,
          url: pathOf(url, user.project),
          headers: { authorization: basicAuth(user.name) },
        });
        const roles: readonly string[] = action === null ? [user.role] : policy[action];
        const isAllowed = roleImplies[user.role].some((role) => roles.includes(role));
        expect(answer.statusCode === 403, `${user.name}: ${answer.body}`).toBe(!isAllowed);
        expect(answer.statusCode, answer.body).toBeLessThan(500);
      }
    });

    it(`asks who it is before ${name}`, async ({ expect }) => {
      const nobody = await server.app.inject({ method, url: pathOf(url) });
      expect(nobody.statusCode).toBe(401);
      expect(nobody.headers['www-authenticate']).toContain('Basic');
      expect(nobody.headers['content-type']).toContain('application/problem+json');
    });
  }
});

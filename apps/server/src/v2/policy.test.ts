import { randomUUID } from 'node:crypto';

import { resolveRoles } from '@cyborg/model/caller';
import type { Caller, Role } from '@cyborg/model/caller';
import { makeV2Policy, v2Rules } from '@cyborg/model/v2/policy';
import type { V2Rule } from '@cyborg/model/v2/policy';
import { openTestDatabase } from '@cyborg/testing/database';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';
import { makeV2Ask } from './test-ask.ts';

const personas = ['admin', 'manager', 'member', 'reader', 'service', 'none'] as const;
type Persona = (typeof personas)[number];

function rolesOf(persona: Persona): ReadonlySet<Role> {
  return persona === 'none' ? new Set<Role>() : resolveRoles([persona]);
}

/** Takes the persona's word for it: the policy is what is tried here. */
const persona = {
  challenge: 'None',
  advice: '',
  async authenticate({ headers }: { headers: { readonly [name: string]: unknown } }) {
    const given = personas.find((one) => one === headers['x-persona']);
    if (given === undefined) return undefined;
    const caller: Caller = {
      userId: given,
      userName: given,
      projectId: 'tenants',
      projectName: 'tenants',
      roles: rolesOf(given),
      isServiceRequest: given === 'service',
    };
    return caller;
  },
};

const id = randomUUID();
const requests: Readonly<Record<V2Rule, string>> = {
  'cyborg:device_profile:get_all': 'GET /v2/device_profiles',
  'cyborg:device_profile:get_one': `GET /v2/device_profiles/${id}`,
  'cyborg:device_profile:create': 'POST /v2/device_profiles',
  'cyborg:device_profile:delete': `DELETE /v2/device_profiles/${id}`,
  'cyborg:device:get_all': 'GET /v2/devices',
  'cyborg:device:get_one': `GET /v2/devices/${id}`,
  'cyborg:device:enable': `POST /v2/devices/${id}/enable`,
  'cyborg:device:disable': `POST /v2/devices/${id}/disable`,
  'cyborg:deployable:get_all': 'GET /v2/deployables',
  'cyborg:deployable:get_one': `GET /v2/deployables/${id}`,
  'cyborg:deployable:program': `PATCH /v2/deployables/${id}/program`,
  'cyborg:attribute:get_all': 'GET /v2/attributes',
  'cyborg:attribute:get_one': `GET /v2/attributes/${id}`,
  'cyborg:attribute:create': 'POST /v2/attributes',
  'cyborg:attribute:delete': `DELETE /v2/attributes/${id}`,
  'cyborg:arq:get_all': 'GET /v2/accelerator_requests',
  'cyborg:arq:get_one': `GET /v2/accelerator_requests/${id}`,
  'cyborg:arq:create': 'POST /v2/accelerator_requests',
  'cyborg:arq:delete': `DELETE /v2/accelerator_requests?arqs=${id}`,
  'cyborg:arq:update': 'PATCH /v2/accelerator_requests',
};

/** Upstream's table, new defaults: who may. */
const readers = ['admin', 'manager', 'member', 'reader'];
const writersOfRequests = ['admin', 'manager', 'member', 'service'];
function mayBe(rule: string): readonly string[] {
  if (rule.startsWith('cyborg:device_profile:get_')) return readers;
  if (/^cyborg:(device|deployable|attribute):get_/.test(rule)) return ['admin', 'manager'];
  if (rule.startsWith('cyborg:arq:get_')) return readers;
  return rule.startsWith('cyborg:arq:') ? writersOfRequests : ['admin'];
}

describe('the policy of v2', () => {
  let server: TestApp;
  const ask = makeV2Ask(() => server);
  beforeAll(async () => {
    server = await openTestApp(await openTestDatabase(), { authenticator: persona });
  });
  afterAll(async () => server[Symbol.asyncDispose]());

  it.for(Object.keys(v2Rules))('%s holds for every persona', async (name, { expect }) => {
    const rule = Object.keys(requests).find((one): one is V2Rule => one === name);
    if (rule === undefined) throw new TypeError(`${name} has no request`);
    for (const one of personas) {
      const answer = await ask(requests[rule], { headers: { 'x-persona': one } });
      const isDenied =
        answer.status === 403 &&
        answer.fault === `Access was denied to the following resource: ${rule}`;
      expect(isDenied, `${one}: ${answer.status} ${answer.fault}`).toBe(!mayBe(rule).includes(one));
    }
  });

  it('of a file is what the routes ask', async ({ expect }) => {
    const policy = makeV2Policy({ 'cyborg:device:get_all': 'role:reader' });
    await using other = await openTestApp(await openTestDatabase(), {
      authenticator: persona,
      v2Policy: policy,
    });
    const reader = { headers: { 'x-persona': 'reader' } };
    const askOther = makeV2Ask(() => other);
    expect((await askOther('GET /v2/devices', reader)).status).toBe(200);
    expect((await ask('GET /v2/devices', reader)).status).toBe(403);
  });
});

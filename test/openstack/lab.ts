/** The lab that `setup.ts` brought up: who is in it, and how to ask as one of them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Credentials, Scope } from '@cyborg/openstack/keystone/credentials';
import { openSession } from '@cyborg/openstack/session';
import type { Session } from '@cyborg/openstack/session';
import { systemClock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';
import { beforeEach, inject } from 'vitest';

/** Skips the tests of a file, with the reason, where the lab does not run. */
export function needsLab(): void {
  beforeEach(({ skip }) => {
    const missing = inject('openStackMissing');
    skip(missing !== null, missing ?? '');
  });
}

/** `npm run test:openstack:full`: as many loops and as long outages as the promises name. */
export const isFullRun = process.env['CYBORG_TEST_OPENSTACK_FULL'] === 'yes';
export const labState = process.env['OSTB_STATE'] ?? '/var/tmp/openstack-testbed';
export const cloudsFile = join(labState, 'clouds.yaml');
export const keystoneUrl = 'http://127.0.0.1:5000/v3';

/** User → project. Their roles: labs/openstack/lib/provision.py. */
const projects = {
  admin: 'admin',
  demo: 'demo',
  'demo-reader': 'demo',
  'demo-manager': 'demo',
  alt: 'alt',
  cyborg: 'service',
  nova: 'service',
} as const;

export type LabUser = keyof typeof projects;

export const projectOf = (user: LabUser): string => projects[user];

interface Settings {
  readonly password: string;
  readonly host: string;
  readonly region: string;
  readonly accelerator: string;
}

/** What `up` was told. */
export function labSettings(): Settings {
  const lines = readFileSync(join(labState, 'settings'), 'utf8').split('\n');
  const values = new Map(
    lines.map((line): [string, string] => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
  const valueOf = (name: string): string => {
    const value = values.get(name);
    if (value === undefined) throw new Error(`${labState}/settings has no ${name}: run up again`);
    return value;
  };
  return {
    password: valueOf('OSTB_PASSWORD'),
    host: valueOf('OSTB_HOST'),
    region: valueOf('OSTB_REGION'),
    accelerator: valueOf('ACCELERATOR_URL'),
  };
}

export function credentialsOf(user: LabUser, scope?: Scope): Credentials {
  const domain = { name: 'Default' };
  const project = { name: projects[user], domain };
  return {
    kind: 'password',
    user: { name: user, domain },
    password: labSettings().password,
    scope: scope ?? { kind: 'project', project },
  };
}

export async function projectIdOf(user: LabUser): Promise<string> {
  using session = sessionOf(user);
  const { project } = (await session.signIn()).token;
  if (project === undefined) throw new Error(`${user} has no project`);
  return project.id;
}

/** @param scope  unless told, the user's project. */
export function sessionOf(user: LabUser, scope?: Scope): Session {
  return openSession({
    authUrl: keystoneUrl,
    credentials: credentialsOf(user, scope),
    region: labSettings().region,
    clock: systemClock,
    rng: systemRng,
  });
}

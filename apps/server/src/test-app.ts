/** For tests: the real application on a real database, with a user of every role in a real users file. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { ConductorDeps } from '@cyborg/conductor/deps';
import type { DriverTrust } from '@cyborg/driver-package/signature';
import { makeTestDeps } from '@cyborg/conductor/test-deps';
import type { Role } from '@cyborg/model/caller';
import { makeV2Policy } from '@cyborg/model/v2/policy';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import type { Logger } from '@cyborg/service/logging';
import { makeMetrics } from '@cyborg/service/metrics';
import { systemRng } from '@cyborg/service/rng';
import type { FastifyInstance } from 'fastify';

import { openHttpBasic } from './auth/http-basic.ts';
import { hashPassword } from './auth/password.ts';
import { putUsers } from './auth/write-users-file.ts';
import { composeConductor } from './compose.ts';
import { makeHttpApp } from './http/app.ts';
import type { HttpDeps } from './http/deps.ts';
import { makeReadiness } from './readiness.ts';

export interface TestUser {
  readonly name: string;
  readonly role: Role;
  readonly project: string;
}

export const testUsers: readonly TestUser[] = [
  { name: 'admin', role: 'admin', project: 'operators' },
  { name: 'manager', role: 'manager', project: 'tenants' },
  { name: 'member', role: 'member', project: 'tenants' },
  { name: 'reader', role: 'reader', project: 'tenants' },
  { name: 'service', role: 'service', project: 'services' },
  { name: 'stranger', role: 'member', project: 'others' },
];
/** The same users when Nova asks for them: `member-by-nova` stands for the member's token and Nova's service token. */
const usersByNova = testUsers
  .filter(({ role }) => role === 'member' || role === 'admin')
  .map((user) => ({ ...user, name: `${user.name}-by-nova`, isByNova: true }));
export const testPassword = 'correct horse';

export interface TestApp extends AsyncDisposable {
  readonly app: FastifyInstance;
  readonly deps: ConductorDeps;
}

interface DisposableDatabase extends AsyncDisposable {
  readonly db: ConductorDeps['db'];
}

export const silentLog: Logger = makeLogger({ name: 'test', level: 'silent', clock: systemClock });

/** Writes a users file of `testUsers`; the hash is computed once, which is slow by design. */
export async function writeTestUsers(path: string): Promise<void> {
  const hash = await hashPassword(testPassword, systemRng);
  await putUsers(
    path,
    [...testUsers.map((user) => ({ ...user, isByNova: false })), ...usersByNova].map(
      ({ name, role, project, isByNova }) => ({
        name,
        password_hash: hash,
        roles: isByNova ? [role, 'service'] : [role],
        project_id: project,
      }),
    ),
  );
}

/** @param database  ended with the application. */
export async function openTestApp(
  database: DisposableDatabase,
  others: Partial<HttpDeps> = {},
  driverTrust: DriverTrust = { policy: 'warn', keys: [] },
): Promise<TestApp> {
  const folder = mkdtempSync(join(tmpdir(), 'cyborg-server-'));
  const usersFile = join(folder, 'users.yaml');
  await writeTestUsers(usersFile);
  const deps: ConductorDeps = {
    ...makeTestDeps({ db: database.db, clock: systemClock }),
    driverTrust,
  };
  const composed = composeConductor(deps);
  const surroundings = { clock: systemClock, rng: systemRng, log: silentLog };
  const app = makeHttpApp({
    ...surroundings,
    conductor: deps,
    authenticator: await openHttpBasic({ ...surroundings, usersFile }),
    v2: composed.v2,
    v2Policy: makeV2Policy(),
    v3: composed.v3,
    agent: composed.agent,
    servesApi: true,
    readiness: makeReadiness(),
    metrics: makeMetrics(),
    collectMetrics: async () => {},
    bodyLimitBytes: 1024 * 1024,
    isBehindProxy: false,
    consoleDir: join(folder, 'no-console'),
    consoleIdleSeconds: 1800,
    ...others,
  });
  await app.ready();
  return {
    app,
    deps,
    async [Symbol.asyncDispose]() {
      await app.close();
      await database[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export function basicAuth(name: string, password = testPassword): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}

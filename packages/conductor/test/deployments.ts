/** For tests of deployments: the generic driver in a ledger, and hosts that do what is wanted of them when told to. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { toJson } from '@cyborg/store/json';
import { makeTestClock, type TestClock } from '@cyborg/testing/clock';
import { openTestDatabase, type TestDatabase } from '@cyborg/testing/database';
import { addHost, callerOf } from '@cyborg/testing/fleet';

import { makeAgentHandlers, type AgentHandlers } from '../src/agents/handlers.ts';
import { advanceHostOperations } from '../src/deployments/advance-operations.ts';
import { makeDeploymentHandlers, type DeploymentHandlers } from '../src/deployments/handlers.ts';
import { rollOut } from '../src/deployments/roll-out.ts';
import type { UninstallQuery } from '../src/deployments/uninstall.ts';
import type { UpdateBody } from '../src/deployments/update.ts';
import type { InstallBody } from '../src/deployments/wishes.ts';
import type { ConductorDeps } from '../src/deps.ts';
import type { DryRunView } from '../src/dry-run.ts';
import { registerBuiltinDrivers, type BuiltinManifest } from '../src/ledger/builtin-drivers.ts';
import type { OperationView } from '../src/operations/read-operations.ts';
import { makeTestDeps } from '../src/test-deps.ts';
import { report } from './agents.ts';

const manifestFile = join(import.meta.dirname, '../../../drivers/generic/manifest.json');
const generic: BuiltinManifest = JSON.parse(readFileSync(manifestFile, 'utf8'));
export const version = generic.version;
export const admin = callerOf('admin', 'ops');
export const manager = callerOf('manager', 'alpha');
export const params = { driver_id: 'generic' };
export const never = new AbortController().signal;

export type Host = Awaited<ReturnType<typeof addHost>>;

export interface Bench extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly clock: TestClock;
  readonly deps: ConductorDeps;
  readonly agents: AgentHandlers;
  readonly deployments: DeploymentHandlers;
  install(body?: InstallBody, caller?: typeof admin): Promise<OperationView>;
  update(body?: UpdateBody, caller?: typeof admin): Promise<OperationView>;
  uninstall(query?: UninstallQuery, caller?: typeof admin): Promise<OperationView>;
  /** Every reconciler once. */
  pass(): Promise<void>;
  /** The host does what is wanted of it; `fail` says of which driver versions it cannot. */
  obey(host: Host, fail?: string): Promise<void>;
  operation(id: string): Promise<OperationView>;
}

export async function openBench(limits: Parameters<typeof makeTestDeps>[1] = {}): Promise<Bench> {
  const database = await openTestDatabase();
  const clock = makeTestClock();
  const deps = makeTestDeps(
    { db: database.db, clock: { ...systemClock, now: () => clock.now() } },
    limits,
  );
  await registerBuiltinDrivers(deps, [generic]);
  const agents = makeAgentHandlers(deps);
  const deployments = makeDeploymentHandlers(deps);
  const reconcilers = [rollOut(deps), advanceHostOperations(deps)];
  return {
    database,
    clock,
    deps,
    agents,
    deployments,
    install: async (body = {}, caller = admin) =>
      operationOf(await deployments.installDriver(caller, { params, query: {}, body })),
    update: async (body = {}, caller = admin) =>
      operationOf(await deployments.updateDriver(caller, { params, query: {}, body })),
    uninstall: async (query = {}, caller = admin) =>
      operationOf(await deployments.uninstallDriver(caller, { params, query, body: undefined })),
    async pass() {
      for (const reconciler of reconcilers) await reconciler.pass(never);
    },
    obey: (host, fail) => obey(agents, deps, { host, fail }),
    async operation(id) {
      const row = await database.db
        .selectFrom('operation')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirstOrThrow();
      return { ...row, progress: { done: row.progress_done, total: row.progress_total } };
    },
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

export function operationOf(answer: OperationView | DryRunView): OperationView {
  if ('dry_run' in answer) throw new Error('a dry run');
  return answer;
}

/** A host as its agent would be: reads the desired state, does it, reports. */
async function obey(
  agents: AgentHandlers,
  deps: ConductorDeps,
  { host, fail }: { host: Host; fail: string | undefined },
): Promise<void> {
  const desired = await agents.showDesired(host, { params: {}, query: {}, body: undefined });
  await agents.report(
    host,
    report(deps, host.agent_instance ?? '', {
      installations: desired.installations.map((one) => {
        const isFailed = one.wanted === 'present' && one.version === fail;
        return {
          installation_id: one.id,
          generation: one.generation,
          state: one.wanted === 'removed' ? 'removed' : isFailed ? 'failed' : 'ready',
          running_version: one.wanted === 'removed' || isFailed ? null : one.version,
          reason: isFailed ? 'it does not start' : null,
        };
      }),
      backends: desired.installations.flatMap((one) => [
        ...one.backends.map((backend) => ({
          backend_id: backend.id,
          generation: backend.generation,
          discovery: backend.discovery,
          state: 'ready' as const,
          reason: null,
        })),
        ...one.removed_backends.map((backend) => ({
          backend_id: backend.id,
          generation: backend.generation,
          discovery: 0,
          state: 'removed' as const,
          reason: null,
        })),
      ]),
    }),
  );
}

export async function grant(
  bench: Bench,
  host: Host,
  backend: string | null = null,
): Promise<void> {
  await bench.database.db
    .insertInto('access_grant')
    .values({
      id: crypto.randomUUID(),
      project_id: 'alpha',
      host_id: host.id,
      backend_name: backend,
      created_by: 'admin',
      created_at: bench.clock.now(),
    })
    .execute();
}

export async function approve(bench: Bench, other: string): Promise<void> {
  const { kinds, default_backends } = generic;
  await bench.database.db
    .insertInto('driver_version')
    .values({
      driver_id: 'generic',
      version: other,
      state: 'approved',
      is_builtin: false,
      manifest: toJson({ kinds, default_backends }),
      created_at: bench.clock.now(),
    })
    .execute();
}

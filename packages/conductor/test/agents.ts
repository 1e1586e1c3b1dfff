/** For tests of what agents say to the server: joining, leases, and reports as an agent would send them. */
import { systemClock } from '@cyborg/service/clock';
import { carriedOut } from '@cyborg/testing/carried-out';
import { makeTestClock, type TestClock } from '@cyborg/testing/clock';
import { openTestDatabase, type TestDatabase } from '@cyborg/testing/database';
import { callerOf } from '@cyborg/testing/fleet';

import { makeAgentHandlers, type AgentHandlers } from '../src/agents/handlers.ts';
import type { ReportBody } from '../src/agents/report.ts';
import type { ConductorDeps } from '../src/deps.ts';
import { makeHostHandlers } from '../src/hosts/handlers.ts';
import { makeTestDeps } from '../src/test-deps.ts';

export const admin = callerOf('admin', 'ops');
export const uuid = (): string => crypto.randomUUID();
export const nothing = { params: {}, query: {} };

export interface Bench extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly clock: TestClock;
  readonly deps: ConductorDeps;
  readonly agents: AgentHandlers;
  token(host?: string): Promise<string>;
  join(name: string): Promise<{ id: string; name: string; credential: string }>;
  /** Holds the lease of a host of the fixture. */
  renew(host: { id: string; name: string }, instance: string): Promise<unknown>;
}

export async function openBench(): Promise<Bench> {
  const database = await openTestDatabase();
  const clock = makeTestClock();
  // Timers of the process, wall clock of the test.
  const deps = makeTestDeps({
    db: database.db,
    clock: { ...systemClock, now: () => clock.now() },
  });
  const agents = makeAgentHandlers(deps);
  const hosts = makeHostHandlers(deps);
  return {
    database,
    clock,
    deps,
    agents,
    async token(host) {
      const body = host === undefined ? {} : { host };
      return carriedOut(await hosts.createJoinToken(admin, { ...nothing, body })).token;
    },
    async join(name) {
      const made = await hosts.createJoinToken(admin, { ...nothing, body: {} });
      const { token } = carriedOut(made);
      const answer = await agents.enroll(null, { ...nothing, body: enrolment(token, name) });
      return { id: answer.host_id, name, credential: answer.credential };
    },
    renew: (host, instance) => agents.renewLease(host, { ...nothing, body: lease(deps, instance) }),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

export function enrolment(
  token: string,
  name: string,
): Parameters<AgentHandlers['enroll']>[1]['body'] {
  return {
    token,
    host: { name, node_name: name },
    instance: uuid(),
    version: '0.1.0',
    facts: { kernel: '6.1' },
  };
}

export function lease(
  deps: ConductorDeps,
  instance: string,
): Parameters<AgentHandlers['renewLease']>[1]['body'] {
  return {
    instance,
    version: '0.1.0',
    ledger: deps.ledger,
    facts: {},
    hypervisors: [{ hypervisor: 'qemu', healthy: true, reason: null, plugs: ['virtio-rng'] }],
    leaving: false,
  };
}

export function report(
  deps: ConductorDeps,
  instance: string,
  parts: Partial<ReportBody> = {},
): { params: object; query: object; body: ReportBody } {
  return {
    ...nothing,
    body: {
      instance,
      ledger: deps.ledger,
      outcomes: [],
      installations: [],
      backends: [],
      listings: [],
      observations: [],
      unclaimed: null,
      ...parts,
    },
  };
}

export function listing(
  instances: readonly { id: string; name?: string; project_id?: string | null }[],
): ReportBody['listings'][number] {
  return {
    hypervisor: 'qemu',
    instances: instances.map(({ id, name = 'guest', project_id = null }) => ({
      id,
      name,
      project_id,
      state: 'ACTIVE',
      plugs: ['virtio-rng'],
    })),
    unknown_ids: [],
    unknown_count: 0,
  };
}

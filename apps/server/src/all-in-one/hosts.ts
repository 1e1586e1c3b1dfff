/** The hosts of an all-in-one installation: enrolled, with an agent each, known when ready. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

import type { ConductorDeps } from '@cyborg/conductor/deps';
import { resolveRoles } from '@cyborg/model/caller';
import type { Caller } from '@cyborg/model/caller';
import type { Clock } from '@cyborg/service/clock';
import type { Logger } from '@cyborg/service/logging';
import { readHostProgress, type HostProgress } from '@cyborg/store/host-progress';
import Type from 'typebox';
import { Parse } from 'typebox/value';

import { writePrivateFile } from '../auth/write-users-file.ts';
import type { ReadinessCheck } from '../readiness.ts';
import { repeat } from '../start/repeat.ts';
import type { V3Handlers } from '../v3/handlers.ts';

export interface LocalHost {
  readonly name: string;
  readonly isSimulated: boolean;
  readonly stateDir: string;
  /** Besides server, names and state directory. */
  readonly agentOptions: readonly string[];
}

/** Who does what `npm start` does by itself. */
export const starter: Caller = {
  userId: 'npm-start',
  userName: 'npm-start',
  projectId: 'admin',
  projectName: 'admin',
  roles: resolveRoles(['admin']),
  isServiceRequest: false,
};

export function thisHost(stateDir: string, qmpDir: string): LocalHost {
  return {
    name: toHostName(hostname()),
    isSimulated: false,
    stateDir: join(stateDir, 'agents', 'this-host'),
    agentOptions: ['--node-name', hostname(), '--hypervisor', 'qemu', '--qmp-dir', qmpDir],
  };
}

/** As the agent does it by itself. */
function toHostName(machineName: string): string {
  const name = machineName
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 63)
    .replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, '');
  return name === '' ? 'host' : name;
}

export interface Server {
  readonly url: string;
  readonly caFile: string | undefined;
  /** Of every agent: where its traces go, whose drivers it trusts. */
  readonly agentOptions: (host: string) => readonly string[];
  readonly deps: ConductorDeps;
  readonly v3: Pick<V3Handlers, 'createJoinToken' | 'reenrollHost' | 'installDriver'>;
}

const revokedLookMs = 2000;

const TokenSchema = Type.Object({ token: Type.String() });

export interface AgentStart {
  readonly argv: readonly string[];
  /** It was given a join token: it is sure to enrol. */
  readonly isJoining: boolean;
}

/** Where an agent looks for a join token, also while it runs and is refused. */
function tokenFileOf({ stateDir }: LocalHost): string {
  return join(stateDir, 'join-token');
}

/** With a join token when it has yet to enrol, and is not kept out by an operator. */
export async function prepareAgent(server: Server, host: LocalHost): Promise<AgentStart> {
  await mkdir(host.stateDir, { recursive: true, mode: 0o700 });
  const tokenFile = tokenFileOf(host);
  const [known] = await readHostProgress(server.deps.db, [host.name]);
  const hasCredential = existsSync(join(host.stateDir, 'credential.json'));
  const isJoining = known === undefined || (!hasCredential && !known.isRevoked);
  if (isJoining) {
    const answer = await makeToken(server, host, known !== undefined);
    await writePrivateFile(tokenFile, `${Parse(TokenSchema, answer).token}\n`);
  }
  if (!existsSync(tokenFile)) await writePrivateFile(tokenFile, '');
  return { isJoining, argv: argumentsOf(server, host) };
}

function argumentsOf(server: Server, host: LocalHost): string[] {
  return [
    '--server',
    server.url,
    ...(server.caFile === undefined ? [] : ['--ca-file', server.caFile]),
    '--state-dir',
    host.stateDir,
    '--host-name',
    host.name,
    '--join-token-file',
    tokenFileOf(host),
    ...server.agentOptions(host.name),
    ...(host.isSimulated ? ['--simulated'] : []),
    ...host.agentOptions,
  ];
}

/** A host that the ledger knows but whose agent lost its state is enrolled again; its attachments stay. */
function makeToken({ v3 }: Server, host: LocalHost, isKnown: boolean): Promise<unknown> {
  return isKnown
    ? v3.reenrollHost(starter, { params: { host: host.name }, query: {}, body: undefined })
    : v3.createJoinToken(starter, {
        params: {},
        query: {},
        body: { host: host.name, simulated: host.isSimulated },
      });
}

export interface AwaitedHosts {
  readonly hosts: readonly LocalHost[];
  /** Agents older than this are of an earlier start. */
  readonly since: Date;
  /** Names of those that were given a join token by this start. */
  readonly joining: ReadonlySet<string>;
}

/**
 * Ready when each host's agent of this start holds its lease, and inventory and instances are in the ledger, and, at
 * a first start, its drivers run. A host that an operator has revoked or deleted is not waited for, and named.
 */
export function hostsReady(
  { db }: Pick<ConductorDeps, 'db'>,
  { hosts, since, joining }: AwaitedHosts,
): ReadinessCheck {
  const enrolled = new Set(hosts.flatMap(({ name }) => (joining.has(name) ? [] : name)));
  // What is started again later, an update say, leaves the installation ready.
  const served = new Set<string>();
  return {
    name: 'hosts',
    check: async () => {
      const names = hosts.map(({ name }) => name);
      const found = new Map((await readHostProgress(db, names)).map((host) => [host.name, host]));
      const revoked: string[] = [];
      const deleted: string[] = [];
      const missing = names.flatMap((name) => {
        const host = found.get(name);
        if (host !== undefined) enrolled.add(name);
        else if (enrolled.has(name)) {
          deleted.push(name);
          return [];
        }
        const hasAgent = host !== undefined && host.agentSince !== null && host.agentSince >= since;
        if (host?.isRevoked === true && (hasAgent || !joining.has(name))) {
          revoked.push(name);
          return [];
        }
        const lacks = whatIsMissing(host, hasAgent, served.has(name));
        if (lacks === undefined) served.add(name);
        return lacks === undefined ? [] : `${name} ${lacks}`;
      });
      if (missing.length > 0) return missing.join('; ');
      return noteOf({ revoked, deleted });
    },
  };
}

/** What was done on purpose keeps nobody waiting. */
function noteOf(
  names: Readonly<Record<'revoked' | 'deleted', readonly string[]>>,
): { readonly note: string } | undefined {
  const notes = Object.entries(names)
    .filter(([, of]) => of.length > 0)
    .map(([what, of]) => `${what}: ${of.join(', ')}`);
  return notes.length === 0 ? undefined : { note: notes.join('; ') };
}

function whatIsMissing(
  host: HostProgress | undefined,
  hasAgent: boolean,
  hasServed: boolean,
): string | undefined {
  if (host === undefined) return 'has not enrolled yet';
  if (!hasAgent) return 'has no agent yet';
  if (!host.hasInstances) return 'has not listed its instances yet';
  if (!host.hasInventory) return 'has not sent its inventory yet';
  if (hasServed || host.startingDriver === null) return undefined;
  return `is still starting driver ${host.startingDriver}`;
}

/** Tells once of each host that is revoked, and again when it was enrolled in between. */
export function watchRevoked(
  deps: Pick<ConductorDeps, 'db'> & { readonly clock: Clock; readonly log: Pick<Logger, 'warn'> },
  { hosts, tell }: { hosts: readonly LocalHost[]; tell: (host: LocalHost) => void },
): AsyncDisposable {
  const told = new Set<string>();
  return repeat(deps, {
    what: 'looking for revoked hosts',
    everyMs: revokedLookMs,
    run: async () => {
      const names = hosts.map(({ name }) => name);
      const progress = await readHostProgress(deps.db, names);
      const revoked = new Set(progress.flatMap((one) => (one.isRevoked ? one.name : [])));
      for (const name of told) if (!revoked.has(name)) told.delete(name);
      for (const host of hosts) {
        if (!revoked.has(host.name) || told.has(host.name)) continue;
        told.add(host.name);
        tell(host);
      }
    },
  });
}

/** How a revoked host of this installation is enrolled again; its agent looks for the token by itself. */
export function revokedText(host: LocalHost, command: string): string {
  return (
    `Host ${host.name} is revoked: its agent may do nothing more; what is attached there stays. To enrol it again:\n` +
    `  ${command} host-reenroll ${host.name} -f value -c token > ${tokenFileOf(host)}\n`
  );
}

/** The hosts of an all-in-one installation: enrolled, with an agent each, known when ready. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

import type { ConductorDeps } from '@cyborg/conductor/deps';
import { resolveRoles } from '@cyborg/model/caller';
import type { Caller } from '@cyborg/model/caller';
import { readHostProgress } from '@cyborg/store/host-progress';
import Type from 'typebox';
import { Parse } from 'typebox/value';

import { writePrivateFile } from '../auth/write-users-file.ts';
import type { ReadinessCheck } from '../readiness.ts';
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
  readonly deps: ConductorDeps;
  readonly v3: Pick<V3Handlers, 'createJoinToken' | 'reenrollHost' | 'installDriver'>;
}

const TokenSchema = Type.Object({ token: Type.String() });

/** @returns what the agent of the host is started with; with a join token when it has yet to enrol. */
export async function agentArguments(server: Server, host: LocalHost): Promise<string[]> {
  await mkdir(host.stateDir, { recursive: true, mode: 0o700 });
  const tokenFile = join(host.stateDir, 'join-token');
  const [known] = await readHostProgress(server.deps.db, [host.name]);
  const hasCredential = existsSync(join(host.stateDir, 'credential.json'));
  if (known === undefined || !hasCredential) {
    const answer = await makeToken(server, host, known !== undefined);
    await writePrivateFile(tokenFile, `${Parse(TokenSchema, answer).token}\n`);
  }
  return [
    '--server',
    server.url,
    ...(server.caFile === undefined ? [] : ['--ca-file', server.caFile]),
    '--state-dir',
    host.stateDir,
    '--host-name',
    host.name,
    ...(existsSync(tokenFile) ? ['--join-token-file', tokenFile] : []),
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

/** Ready when each host's agent of this start holds its lease, and inventory and instances are in the ledger. */
export function hostsReady(
  { db }: Pick<ConductorDeps, 'db'>,
  { hosts, since }: { hosts: readonly LocalHost[]; since: Date },
): ReadinessCheck {
  return {
    name: 'hosts',
    check: async () => {
      const names = hosts.map(({ name }) => name);
      const found = new Map((await readHostProgress(db, names)).map((host) => [host.name, host]));
      const missing = names.flatMap((name) => {
        const host = found.get(name);
        if (host === undefined) return [`${name} has not enrolled yet`];
        if (host.agentSince === null || host.agentSince < since)
          return [`${name} has no agent yet`];
        if (!host.hasInstances) return [`${name} has not listed its instances yet`];
        return host.hasInventory ? [] : [`${name} has not sent its inventory yet`];
      });
      return missing.length === 0 ? undefined : missing.join('; ');
    },
  };
}

/** Server, database and agents of one machine, started and stopped together. */
import { access, constants, mkdir, realpath, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import type { Clock } from '@cyborg/service/clock';
import type { Logger } from '@cyborg/service/logging';
import { OptionError } from '@cyborg/service/option-error';
import type { Rng } from '@cyborg/service/rng';
import { claimSocketFolder } from '@cyborg/store/embedded/socket-folder';
import { readHostProgress } from '@cyborg/store/host-progress';
import { releaseLeases } from '@cyborg/store/takeover';

import type { ServerOptions } from '../options.ts';
import { startServer } from '../server.ts';
import type { RunningServer } from '../server.ts';
import { startAgentProcess } from './agent-process.ts';
import { layOutDemo } from './demo.ts';
import { demoBackends, installOnce, ownBackends } from './first-run.ts';
import { hostsReady, prepareAgent, revokedText, thisHost, watchRevoked } from './hosts.ts';
import type { LocalHost, Server } from './hosts.ts';
import { openLogFile } from './log-file.ts';
import { defaultClientFile, defaultStateDir } from './options.ts';
import type { AllInOneOptions } from './options.ts';
import { commandWords } from './texts.ts';
import { ensureUsers, tenantProject, writeClientFiles, writeDefaultClientFile } from './users.ts';

export interface AllInOneSurroundings {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Something for the person at the terminal, while it runs; with its line ends. */
  readonly tell: (text: string) => void;
}

export interface AllInOne {
  readonly url: string;
  readonly stateDir: string;
  readonly qmpDir: string;
  /** The one to show: the default place when it was written, else that of the state directory. */
  readonly clientFile: string;
  /** The CLI as it is typed in the checkout to reach this installation. */
  readonly command: string;
  readonly notes: readonly string[];
  /** Resolves when /readyz is 200. */
  untilReady(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

const lookAgainMs = 100;
const failedPauseMs = 2000;

/** @throws {OptionError} when the folder cannot be made or written. */
export async function prepareStateDir(
  options: AllInOneOptions,
  env: AllInOneSurroundings['env'],
): Promise<string> {
  const given = resolve(options.stateDir ?? defaultStateDir(env));
  try {
    await makeFolders(given);
    await access(given, constants.W_OK | constants.X_OK);
    return await realpath(given);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new OptionError(
      `--state-dir: ${given} cannot be used: ${reason}. Give a folder that this user may write.`,
    );
  }
}

function toServer({ urls, deps, v3 }: RunningServer, options: AllInOneOptions): Server {
  return {
    url: localUrl(urls),
    caFile: options.tlsCert,
    agentOptions: (host) => [...agentTraces(options, host), ...agentTrust(options)],
    deps,
    v3,
  };
}

/** Each process has a file of its own: `FILE.<host>` is an agent's. */
function agentTraces(options: AllInOneOptions, host: string): string[] {
  const { traceEndpoint, traceFile, tracePercent } = options;
  return [
    ...(traceEndpoint === undefined ? [] : ['--trace-endpoint', traceEndpoint]),
    ...(traceFile === undefined ? [] : ['--trace-file', `${traceFile}.${host}`]),
    '--trace-percent',
    String(tracePercent),
  ];
}

/** The same publishers as the server. */
function agentTrust({ driverKey, driverSignatures }: AllInOneOptions): string[] {
  const keys = driverKey.flatMap((file) => ['--driver-key', file]);
  return [...keys, '--driver-signatures', driverSignatures];
}

/** Step by step: a recursive mkdir never returns below /proc. */
async function makeFolders(folder: string): Promise<void> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() === true) return;
  if (found !== undefined) throw new Error('it is no folder');
  await makeFolders(dirname(folder));
  await mkdir(folder, { mode: 0o700 });
}

export async function startAllInOne(
  options: AllInOneOptions,
  stateDir: string,
  { clock, rng, log, env, tell }: AllInOneSurroundings,
): Promise<AllInOne> {
  await using stack = new AsyncDisposableStack();
  const usersFile = join(stateDir, 'users.yaml');
  const logins = await ensureUsers(stateDir, usersFile);
  const serverOptions: ServerOptions = {
    ...options,
    stateDir,
    usersFile,
    role: 'all',
    auth: 'http_basic',
  };
  // Asked from the first request on, when the agents of this start do not run yet.
  let pending: string | undefined = 'the agents are not started yet';
  const alsoReady = [{ name: 'start', check: async () => pending }];
  const running = await startServer(serverOptions, { clock, rng, log, alsoReady });
  stack.defer(() => running.stop());
  const server = toServer(running, options);
  const target = { url: server.url, caFile: server.caFile, stateDir };
  await writeClientFiles(logins, target);
  const [admin] = logins;
  const notes: string[] = [];
  const defaultFile = defaultClientFile(env);
  let clientFile = join(stateDir, 'client.yaml');
  if (options.stateDir === undefined && admin !== undefined) {
    const refusal = await writeDefaultClientFile(defaultFile, admin, target);
    if (refusal === undefined) clientFile = defaultFile;
    else notes.push(refusal);
  }
  const qmpDir = claimQmpDir(stateDir);
  const own = thisHost(stateDir, qmpDir);
  const demo = options.demo ? await layOutDemo(stateDir, tenantProject) : [];
  const hosts = [own, ...demo];
  const joining = new Set<string>();
  const since = running.deps.clock.now();
  running.readiness.add(hostsReady(running.deps, { hosts, since, joining }));
  const firstRun = makeFirstRun(server, { stateDir, own, demo, clock });
  running.readiness.add({ name: 'first run', check: async () => firstRun.trouble() });
  if (options.databaseUrl === undefined) {
    // Agents of the start before died with it, or still hold the lock of their state directory.
    await releaseLeases(
      running.deps.db,
      hosts.map(({ name }) => name),
    );
  }
  for (const host of hosts) {
    const { argv, isJoining } = await prepareAgent(server, host);
    if (isJoining) joining.add(host.name);
    stack.use(startHost(host, argv, { clock, rng, log, stateDir }));
  }
  const command = commandWords(clientFile === defaultFile ? undefined : clientFile);
  const tellRevoked = (host: LocalHost): void => tell(revokedText(host, command));
  stack.use(watchRevoked({ db: running.deps.db, clock, log }, { hosts, tell: tellRevoked }));
  stack.use(firstRun.start(log));
  pending = undefined;
  const owned = stack.move();
  return {
    url: server.url,
    stateDir,
    qmpDir,
    clientFile,
    command,
    notes,
    untilReady: (signal) => untilReady(running, clock, signal),
    stop: () => owned.disposeAsync(),
  };
}

function startHost(
  host: LocalHost,
  argv: readonly string[],
  { clock, rng, log, stateDir }: Omit<AllInOneSurroundings, 'env' | 'tell'> & { stateDir: string },
): AsyncDisposable {
  const output = openLogFile(join(stateDir, 'log', `agent-${host.name}.log`));
  const agent = startAgentProcess({ name: host.name, argv, clock, rng, log, output });
  return {
    async [Symbol.asyncDispose]() {
      await agent.stop();
      output[Symbol.dispose]();
    },
  };
}

/** What a guest's name may have for its socket to be within the kernel's limit. */
const guestNameBytes = 32;

/** @throws {OptionError} when no folder is short enough for the sockets of guests. */
function claimQmpDir(stateDir: string): string {
  const [folder, refusal] = claimSocketFolder({
    folder: join(stateDir, 'qmp'),
    prefix: 'cyborg-qmp',
    socketName: `${'N'.repeat(guestNameBytes)}.sock`,
    owner: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
  });
  if (folder !== undefined) return folder;
  throw new OptionError(`--state-dir: the QMP sockets of guests: ${refusal}`);
}

interface FirstRunParts {
  readonly stateDir: string;
  readonly own: LocalHost;
  readonly demo: readonly LocalHost[];
  readonly clock: Clock;
}

/** Installs the driver as soon as the hosts have enrolled. */
function makeFirstRun(
  server: Server,
  { stateDir, own, demo, clock }: FirstRunParts,
): { trouble(): string | undefined; start(log: Pick<Logger, 'warn'>): AsyncDisposable } {
  let trouble: string | undefined = 'the generic driver is not installed yet';
  const names = [own, ...demo].map(({ name }) => name);
  const installs = [ownBackends(own), ...(demo.length > 0 ? [demoBackends(demo)] : [])];
  const attempt = async (): Promise<void> => {
    const enrolled = await readHostProgress(server.deps.db, names);
    if (enrolled.length < names.length) return;
    await installOnce(server, stateDir, installs);
    trouble = undefined;
  };
  return {
    trouble: () => trouble,
    start(log) {
      const stopping = new AbortController();
      const loop = async (): Promise<void> => {
        while (trouble !== undefined && !stopping.signal.aborted) {
          let pauseMs = lookAgainMs;
          await attempt().catch((error: unknown) => {
            pauseMs = failedPauseMs;
            trouble = `the generic driver cannot be installed: ${messageOf(error)}`;
            log.warn({ err: error }, 'the first run is not done; trying again');
          });
          if (trouble === undefined) return;
          await clock.sleep(pauseMs, stopping.signal).catch(() => {});
        }
      };
      const ended = loop();
      return {
        async [Symbol.asyncDispose]() {
          stopping.abort();
          await ended;
        },
      };
    },
  };
}

async function untilReady(
  { readiness }: RunningServer,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted && !(await readiness.report()).ready) {
    await clock.sleep(lookAgainMs, signal).catch(() => {});
  }
}

/** What a process of this machine connects to. */
function localUrl(urls: readonly string[]): string {
  const local = urls.find((url) => /\/\/(127\.|localhost|\[::1\])/.test(url)) ?? urls[0] ?? '';
  return local.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Puts the roles together: database, ledger, catalogue, work in the background, HTTP; and takes them apart again. */
import { join } from 'node:path';

import type { ConductorDeps } from '@cyborg/conductor/deps';
import type { DriverTrust } from '@cyborg/driver-package/signature';
import { registerBuiltinDrivers } from '@cyborg/conductor/ledger/builtin-drivers';
import { openLedger } from '@cyborg/conductor/ledger/open-ledger';
import { startReconcilers } from '@cyborg/conductor/runner';
import type { RunningReconcilers } from '@cyborg/conductor/runner';
import { makeWakeHub } from '@cyborg/conductor/wake';
import type { Topic } from '@cyborg/conductor/wake';
import type { V2Policy } from '@cyborg/model/v2/policy';
import type { Clock } from '@cyborg/service/clock';
import { withDeadline } from '@cyborg/service/deadline';
import type { Logger } from '@cyborg/service/logging';
import type { Rng } from '@cyborg/service/rng';
import { startTracing } from '@cyborg/service/tracing';
import { startNotifier } from '@cyborg/store/notify';

import { composeConductor } from './compose.ts';
import { makeHttpApp } from './http/app.ts';
import { checkListenRules, type ListenAddress } from './listen-rules.ts';
import { makeListener } from './listen.ts';
import { toLimits } from './options.ts';
import type { ServerOptions } from './options.ts';
import { makeServerMetrics } from './metrics/server-metrics.ts';
import { makeReadiness } from './readiness.ts';
import type { Readiness, ReadinessCheck } from './readiness.ts';
import { openAuthenticator } from './start/authenticator.ts';
import { readBuiltinDrivers } from './start/catalogue.ts';
import { openDatabase } from './start/database.ts';
import type { OpenDatabase, Surroundings } from './start/database.ts';
import {
  keystoneCheck,
  openOpenStack,
  placementCheck,
  readOpenStackOptions,
} from './start/openstack.ts';
import { readDriverTrust } from './start/driver-trust.ts';
import type { OpenStack, OpenStackSettings } from './start/openstack.ts';
import { startNovaNotifications } from './start/nova-notifications.ts';
import { readPolicyFile } from './start/policy-file.ts';
import { repeat } from './start/repeat.ts';
import { startReplica } from './start/replica.ts';
import { readTlsPair, type TlsPair } from './tls-pair.ts';
import type { V3Handlers } from './v3/handlers.ts';
import { serverVersion } from './version.ts';

export interface ServerSurroundings {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** What must be well besides the server's own; known before the first request can ask. */
  readonly alsoReady?: readonly ReadinessCheck[];
}

export interface RunningServer {
  readonly urls: readonly string[];
  readonly deps: ConductorDeps;
  readonly v3: V3Handlers;
  readonly readiness: Readiness;
  /** Finishes requests in flight, ends polls and streams, stops the work, the database last. */
  stop(): Promise<void>;
}

/** Of a checkout: `npm start` and `npm test` build it. */
const builtConsole = join(import.meta.dirname, '../../console/dist');
const refreshClockMs = 5000;
const databaseAnswerMs = 2000;
/** A reconciler that fails so often in a row is not running. */
const failuresMax = 5;

/** @throws {OptionError} for a wrong option; else an error whose message says what to do. */
export async function startServer(
  options: ServerOptions,
  { clock, rng, log, alsoReady = [] }: ServerSurroundings,
): Promise<RunningServer> {
  const { addresses, tls, openStack: settings, policy, driverTrust } = checkOptions(options);
  await using stack = new AsyncDisposableStack();
  stack.use(await trace(options, { log, rng }));
  const openStack =
    settings === undefined ? undefined : stack.use(openOpenStack(settings, { clock, rng }));
  const authenticator = await openAuthenticator(options, { clock, rng, log, openStack });
  const database = await openDatabase(options, { clock, log, stack });
  const deps: ConductorDeps = {
    ...(await openConductor({ options, database, rng, openStack }, { clock, log, stack })),
    driverTrust,
  };
  await registerBuiltinDrivers(deps, readBuiltinDrivers());
  const isAlone = database.isEmbedded && options.role !== 'api';
  stack.use(await startReplica({ deps, log, options, isAlone }));
  const composed = composeConductor(deps);
  const work = options.role === 'api' ? [] : composed.reconcilers;
  const measured = makeServerMetrics();
  const reconcilers = startReconcilers({ ...deps, onPass: measured.onPass }, [
    composed.recheck(work),
    ...work,
  ]);
  stack.defer(() => reconcilers.stop());
  if (settings?.notifications !== undefined && options.role !== 'api') {
    stack.use(startNovaNotifications(deps, log, settings.notifications));
  }
  const readiness = watch({ database, deps, reconcilers, alsoReady, openStack });
  const { connection } = database;
  const collectMetrics = await measured.collector({ ...deps, connection, reconcilers, log });
  const listener = makeListener(tls);
  const app = makeHttpApp(
    {
      clock,
      rng,
      log,
      conductor: deps,
      authenticator,
      v2: composed.v2,
      v2Policy: policy,
      v3: composed.v3,
      agent: composed.agent,
      servesApi: options.role !== 'conductor',
      readiness,
      metrics: measured.metrics,
      collectMetrics,
      bodyLimitBytes: options.bodyLimit,
      isBehindProxy: options.behindTlsProxy,
      publicUrl: options.publicUrl,
      consoleDir: options.consoleDir ?? builtConsole,
      consoleIdleSeconds: options.consoleIdle,
    },
    listener.factory,
  );
  const listening = await listener.listen(app, addresses);
  stack.defer(() => listening.stop());
  log.info({ urls: listening.urls, role: options.role, ledger: deps.ledger }, 'ready to serve');
  const owned = stack.move();
  return {
    urls: listening.urls,
    deps,
    v3: composed.v3,
    readiness,
    stop: () => owned.disposeAsync(),
  };
}

/**
 * What can be seen to be wrong before anything is made or begun.
 *
 * @throws {OptionError} naming the option.
 */
export function checkOptions(options: ServerOptions): {
  readonly addresses: readonly ListenAddress[];
  readonly tls: TlsPair | undefined;
  readonly openStack: OpenStackSettings | undefined;
  readonly policy: V2Policy;
  readonly driverTrust: DriverTrust;
} {
  return {
    addresses: checkListenRules(options),
    tls: readTlsPair(options),
    openStack: readOpenStackOptions(options),
    policy: readPolicyFile(options.policyFile),
    driverTrust: readDriverTrust(options),
  };
}

function trace(
  options: ServerOptions,
  { log, rng }: Pick<ServerSurroundings, 'log' | 'rng'>,
): Promise<AsyncDisposable> {
  const { traceEndpoint, traceFile, tracePercent, replicaName } = options;
  return startTracing({
    service: 'cyborg-server',
    version: serverVersion,
    instance: `${replicaName}/${rng.uuid()}`,
    traceEndpoint,
    traceFile,
    tracePercent,
    log,
  });
}

async function openConductor(
  {
    options,
    database,
    rng,
    openStack,
  }: {
    options: ServerOptions;
    database: OpenDatabase;
    rng: Rng;
    openStack: OpenStack | undefined;
  },
  { log, stack }: Surroundings,
): Promise<ConductorDeps> {
  const { clock, connection, url } = database;
  const replicaId = rng.uuid();
  const wake = makeWakeHub((topics) => notifier.tell(topics));
  const notifier = startNotifier({
    url,
    senderId: replicaId,
    log,
    onHint: (topics) => wake.wakeLocal(topics.filter(isTopic)),
  });
  stack.use(notifier);
  stack.use(
    repeat(
      { clock, log },
      {
        what: "reading the database's clock",
        everyMs: refreshClockMs,
        run: () => database.refreshClock(),
      },
    ),
  );
  return {
    db: connection.db,
    clock,
    rng,
    log,
    wake,
    limits: toLimits(options),
    ledger: await openLedger(connection.db, rng, clock),
    replicaId,
    ...(openStack === undefined ? {} : { openstack: openStack.services }),
  };
}

function isTopic(text: string): text is Topic {
  return /^(work|events|events-written|cleaned|nova-events|host:.+|operation:.+)$/.test(text);
}

function watch({
  database,
  deps,
  reconcilers,
  alsoReady,
  openStack,
}: {
  readonly database: OpenDatabase;
  readonly deps: ConductorDeps;
  readonly reconcilers: RunningReconcilers;
  readonly alsoReady: readonly ReadinessCheck[];
  readonly openStack: OpenStack | undefined;
}): Readiness {
  const { clock } = deps;
  const { connection } = database;
  const readiness = makeReadiness();
  readiness.add({
    name: 'database',
    check: () =>
      withDeadline(
        async () => {
          await connection.pool.query('select 1');
          return undefined;
        },
        { clock, timeoutMs: databaseAnswerMs, what: 'Asking the database' },
      ),
  });
  readiness.add({ name: 'reconcilers', check: async () => troubleOf(reconcilers) });
  for (const check of alsoReady) readiness.add(check);
  if (openStack !== undefined) readiness.add(keystoneCheck(openStack.session));
  if (deps.openstack?.placement !== undefined) readiness.add(placementCheck(deps.db));
  return readiness;
}

function troubleOf(reconcilers: RunningReconcilers): string | undefined {
  const status = reconcilers.status();
  const fresh = status.find(({ passes }) => passes === 0);
  if (fresh !== undefined) return `${fresh.name} has not run yet`;
  const failing = status.find(({ failuresInARow }) => failuresInARow >= failuresMax);
  return failing === undefined ? undefined : `${failing.name} fails: ${failing.lastError}`;
}

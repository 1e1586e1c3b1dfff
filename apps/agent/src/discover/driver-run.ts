/** Starts the generic driver once, as the calling user, asks it for one inventory, and ends it. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import {
  createMessageConnection,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import { driverErrorName } from '@cyborg/driver-sdk/errors';
import { findProblem, parseSetting, type JsonSchema } from '@cyborg/driver-sdk/json-schema';
import { protocolVersion } from '@cyborg/driver-sdk/protocol-constants';
import type {
  DriverMethod,
  DriverParams,
  DriverResult,
  InitializeResult,
  Inventory,
  Roots,
} from '@cyborg/driver-sdk/protocol';
import { DiscoverError } from './discover-error.ts';

const driverEntry = new URL('../../../../drivers/generic/src/main.ts', import.meta.url);
const backend = 'discover';

/** How long the driver may take, in milliseconds. */
const limits = { initializeMs: 20_000, discoverMs: 120_000, endMs: 2000 } as const;

export interface DiscoverOrder {
  readonly roots: Roots;
  readonly hostName: string;
  readonly kind: string;
  /** `KEY=VALUE` as the user wrote them. */
  readonly settings: readonly string[];
}

/** @throws DiscoverError when the driver cannot answer, or the kind or configuration is wrong. */
export async function discoverOnce(order: DiscoverOrder): Promise<Inventory> {
  await using driver = startDriver();
  const { kinds } = await driver.ask('initialize', initializeParams(order), limits.initializeMs);
  const config = toConfig(order, kinds);
  const spec = { name: backend, kind: order.kind, config };
  await driver.ask('install', { backend: spec, dry_run: false }, limits.initializeMs);
  return await driver.ask('discover', { backend }, limits.discoverMs);
}

function initializeParams({ roots, hostName }: DiscoverOrder): DriverParams<'initialize'> {
  return {
    protocol_versions: [protocolVersion],
    agent_version: 'discover',
    host: { name: hostName, node_name: hostName },
    roots,
    simulated: false,
    state_dir: null,
    backends: [],
  };
}

function toConfig(
  { kind: name, settings }: DiscoverOrder,
  kinds: InitializeResult['kinds'],
): Record<string, unknown> {
  const kind = kinds.find((item) => item.kind === name);
  if (kind === undefined) {
    const known = kinds.map((item) => item.kind).join(', ');
    throw new DiscoverError('usage', `--kind is ${name}; the generic driver has ${known}`);
  }
  const schema: JsonSchema = kind.config_schema;
  // Not by assignment: `__proto__=x` is a wrong key like any other.
  const pairs = settings.map((setting): [string, unknown] => {
    const [, key = '', value = ''] = /^([^=]+)=(.*)$/su.exec(setting) ?? [];
    if (key === '') throw new DiscoverError('usage', `--config ${setting} is not KEY=VALUE`);
    const known = schema.properties ?? {};
    return [key, parseSetting(Object.hasOwn(known, key) ? known[key] : undefined, value)];
  });
  const config = Object.fromEntries(pairs);
  const problem = findProblem(schema, config, 'config');
  if (problem !== undefined) throw new DiscoverError('usage', problem);
  return config;
}

interface RunningDriver extends AsyncDisposable {
  ask<M extends DriverMethod>(
    method: M,
    params: DriverParams<M>,
    timeoutMs: number,
  ): Promise<DriverResult<M>>;
}

function startDriver(): RunningDriver {
  const child = spawn(process.execPath, [fileURLToPath(driverEntry)], {
    env: {},
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000);
  });
  const connection = createMessageConnection(
    new StreamMessageReader(child.stdout),
    new StreamMessageWriter(child.stdin),
  );
  const ended = new Promise<never>((_resolve, reject) => {
    child.once('error', reject);
    child.stdin.on('error', reject);
    child.once('exit', (code, signal) => {
      const line = said.trim().split('\n').at(-1) ?? '';
      reject(new DiscoverError('failed', `the driver ended (${signal ?? code}): ${line}`));
    });
    connection.onError(([error]) => reject(error));
  });
  ended.catch(() => undefined); // also when nobody asks anything any more
  connection.listen();
  return {
    ask: async (method, params, timeoutMs) =>
      await Promise.race([ask({ connection, method, params, timeoutMs }), ended]),
    [Symbol.asyncDispose]: async () => {
      connection.dispose();
      await endDriver(child);
    },
  };
}

interface Question<M extends DriverMethod> {
  readonly connection: MessageConnection;
  readonly method: M;
  readonly params: DriverParams<M>;
  readonly timeoutMs: number;
}

async function ask<M extends DriverMethod>(question: Question<M>): Promise<DriverResult<M>> {
  const { connection, method, params, timeoutMs } = question;
  const late = AbortSignal.timeout(timeoutMs);
  const lateness = once(late, 'abort').then((): never => {
    const message = `the driver did not answer ${method} within ${timeoutMs / 1000} s`;
    throw new DiscoverError('failed', message);
  });
  lateness.catch(() => undefined);
  try {
    return await Promise.race([connection.sendRequest<DriverResult<M>>(method, params), lateness]);
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error;
    const kind = driverErrorName(error.code) === 'invalid' ? 'usage' : 'failed';
    throw new DiscoverError(kind, error.message, { cause: error });
  }
}

async function endDriver(child: ChildProcessWithoutNullStreams): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.stdin.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), limits.endMs);
  await exit;
  clearTimeout(timer);
}

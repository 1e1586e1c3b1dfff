/** Serves a driver over its process's stdin and stdout: JSON-RPC 2.0 with LSP framing. */
import { Console } from 'node:console';
import { readFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import {
  createMessageConnection,
  ErrorCodes,
  Message,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
  type CancellationToken,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import { askAgent } from './ask-agent.ts';
import type { Driver } from './define-driver.ts';
import { DriverError } from './errors.ts';
import { findProblem, type JsonSchema } from './json-schema.ts';
import { protocolLimits } from './protocol-constants.ts';
import { openSession, type SessionHandlers } from './session.ts';

/**
 * Answers the agent until stdin closes or it says `shutdown`, then ends the process.
 *
 * From here on everything that the driver prints goes to stderr: stdout is the protocol's alone.
 */
export async function serve(driver: Driver): Promise<void> {
  const output = takeStdout();
  const writer = new AnswerWriter(output);
  const connection = createMessageConnection(new StreamMessageReader(process.stdin), writer);
  const closing = new AbortController();
  const ended = new Promise<void>((resolve) => {
    connection.onClose(() => resolve());
    process.stdin.once('error', () => resolve());
    output.once('error', () => resolve());
    const farewell = {};
    connection.onRequest('shutdown', () => farewell);
    writer.afterResult(farewell, resolve);
  });
  const schemas = readSchemas();
  const handlers = openSession(driver, toPort(connection, schemas));
  addHandlers(connection, { handlers, schemas }, closing.signal);
  connection.listen();
  await ended;
  closing.abort();
  await driver.close?.();
  await endProcess(output);
}

/** Says when a certain answer has been written, so that the process does not end with it half-way out. */
class AnswerWriter extends StreamMessageWriter {
  #result: unknown;
  #done: (() => void) | undefined;

  afterResult(result: object, done: () => void): void {
    this.#result = result;
    this.#done = done;
  }

  override async write(message: Message): Promise<void> {
    await super.write(message);
    if (Message.isResponse(message) && message.result === this.#result) this.#done?.();
  }
}

/** Keeps stdout for the protocol and moves console and stray writes to stderr. */
function takeStdout(): Writable {
  const write = process.stdout.write.bind(process.stdout);
  const output = new Writable({
    write: (chunk: Buffer, _encoding, done) => void write(chunk, done),
  });
  process.stdout.on('error', (error) => output.destroy(error));
  process.stdout.write = process.stderr.write.bind(process.stderr);
  globalThis.console = new Console(process.stderr, process.stderr);
  return output;
}

function toPort(
  connection: MessageConnection,
  { agent_requests: requests }: SchemaDocument,
): Parameters<typeof openSession>[1] {
  const send = (method: string, params: object): void => {
    // Nobody is left to tell when this fails: the connection is closing, and `serve` sees that itself.
    connection.sendNotification(method, params).catch(() => undefined);
  };
  return {
    log: (level, message) => {
      send('log', { level, message: message.slice(0, protocolLimits.logMessageCharactersMax) });
    },
    notify: send,
    ask: async (method, params, signal) => {
      const result = requests[method]?.result ?? {};
      return await askAgent(connection, { method, params, signal, result });
    },
  };
}

interface SchemaDocument {
  readonly driver_requests: Readonly<Record<string, { readonly params: JsonSchema }>>;
  readonly agent_requests: Readonly<Record<string, { readonly result: JsonSchema }>>;
}

function readSchemas(): SchemaDocument {
  const text = readFileSync(new URL('../protocol.schema.json', import.meta.url), 'utf8');
  return JSON.parse(text) as SchemaDocument; // our own file, compared with protocol.ts by a test
}

function addHandlers(
  connection: MessageConnection,
  { handlers, schemas }: { handlers: SessionHandlers; schemas: SchemaDocument },
  closing: AbortSignal,
): void {
  for (const [method, handler] of Object.entries(handlers)) {
    const schema = schemas.driver_requests[method]?.params ?? {};
    // The parameters were checked against the schema that the handler's type was made from.
    const answer = handler as (params: unknown, signal: AbortSignal) => Promise<unknown>;
    connection.onRequest(method, async (params: unknown, token: CancellationToken) => {
      const problem = findProblem(schema, params, 'params');
      if (problem !== undefined) return new ResponseError(ErrorCodes.InvalidParams, problem);
      try {
        return await answer(params, AbortSignal.any([closing, toSignal(token)]));
      } catch (error) {
        return toResponseError(error, method);
      }
    });
  }
}

function toSignal(token: CancellationToken): AbortSignal {
  const controller = new AbortController();
  if (token.isCancellationRequested) controller.abort();
  token.onCancellationRequested(() => controller.abort());
  return controller.signal;
}

function toResponseError(error: unknown, method: string): ResponseError<unknown> {
  if (error instanceof DriverError) {
    return new ResponseError(error.wireCode, error.message, { code: error.code });
  }
  console.error(`${method} failed:`, error);
  const message = error instanceof Error ? error.message : String(error);
  return new ResponseError(ErrorCodes.InternalError, `${method} failed: ${message}`);
}

/** Ends when all is written. */
async function endProcess(output: Writable): Promise<void> {
  await new Promise<void>((resolve) => {
    if (output.destroyed) resolve();
    else output.end(() => resolve());
  });
  process.exit(0);
}

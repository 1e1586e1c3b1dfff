/** SPDK's JSON-RPC 2.0: bare JSON values over a Unix socket, without framing. A connection for each question. */
import { connect } from 'node:net';
import { DriverError } from '@cyborg/driver-sdk/errors';

/** SPDK's own limit of an answer (CHANGELOG of 18.04). */
const answerCharsMax = 32 * 1024 * 1024;
const methodNotFound = -32601;

/** Nobody answers at the socket, or not in time. */
export class DaemonUnreachable extends DriverError {
  constructor(path: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super('transient', `SPDK does not answer at ${path} (${why}); is its daemon running?`, {
      cause,
    });
  }
}

/** What SPDK answered in place of a result. It says -32602 for nearly everything, so a later try may succeed. */
export class SpdkRefusal extends DriverError {
  constructor(method: string, error: { readonly code: number; readonly message: string }) {
    const { code, message } = error;
    const hint =
      code === methodNotFound ? '; start SPDK with its vhost target and lvol module' : '';
    const text = `SPDK refused ${method}: ${message} (${code})${hint}`;
    super(code === methodNotFound ? 'unsupported' : 'transient', text);
  }
}

export interface RpcOptions {
  readonly path: string;
  /** Ends a question with the request that it was asked for. */
  readonly signal: AbortSignal;
}

export interface Question {
  readonly method: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly limitMs: number;
}

/** @throws DaemonUnreachable, SpdkRefusal. */
export async function askSpdk(options: RpcOptions, question: Question): Promise<unknown> {
  const { method, params, limitMs } = question;
  const request = { jsonrpc: '2.0', id: 1, method, ...(params && { params }) };
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(limitMs)]);
  let answer: Record<string, unknown>;
  try {
    answer = await exchange(options.path, JSON.stringify(request), signal);
  } catch (error) {
    const late = `no answer to ${method} within ${limitMs / 1000} s`;
    const isLate = signal.aborted && !options.signal.aborted;
    throw new DaemonUnreachable(options.path, isLate ? late : error);
  }
  const { error, result } = answer;
  if (error !== undefined) throw new SpdkRefusal(method, toRefusal(error));
  return result;
}

async function exchange(
  path: string,
  request: string,
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  signal.throwIfAborted();
  const socket = connect({ path, signal });
  try {
    socket.setEncoding('utf8');
    socket.write(request);
    let text = '';
    for await (const chunk of socket) {
      const piece = String(chunk);
      text += piece;
      if (text.length > answerCharsMax) throw new Error('the answer is longer than 32 MiB');
      const answer = piece.trimEnd().endsWith('}') ? parseWhole(text) : undefined;
      if (answer !== undefined) return answer;
    }
    throw new Error('the connection was closed before the answer');
  } finally {
    socket.destroy();
  }
}

/** Undefined while it is the beginning of an answer. */
function parseWhole(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function toRefusal(error: unknown): { code: number; message: string } {
  const { code, message } = isRecord(error) ? error : {};
  return {
    code: typeof code === 'number' ? code : 0,
    message: typeof message === 'string' ? message.slice(0, 400) : 'no reason given',
  };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

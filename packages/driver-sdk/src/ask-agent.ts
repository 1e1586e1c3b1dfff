/** A driver's request of its agent: bounded in time, and the answer checked against the protocol. */
import {
  CancellationTokenSource,
  ErrorCodes,
  ResponseError,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import { driverErrorName, DriverError } from './errors.ts';
import { findProblem, type JsonSchema } from './json-schema.ts';
import { protocolLimits } from './protocol-constants.ts';

export interface AgentQuestion {
  readonly method: string;
  readonly params: object;
  readonly signal: AbortSignal;
  /** What the protocol says of the answer. */
  readonly result: JsonSchema;
}

/** @throws DriverError: the agent's own code; `unsupported` when it does not know the request; `transient` when late. */
export async function askAgent(
  connection: MessageConnection,
  { method, params, signal, result }: AgentQuestion,
): Promise<unknown> {
  const cancel = new CancellationTokenSource();
  const late = AbortSignal.timeout(protocolLimits.agentAnswerMsMax);
  const end = AbortSignal.any([signal, late]);
  const ended = Promise.withResolvers<never>();
  const abort = (): void => {
    cancel.cancel();
    const why = signal.aborted ? 'was cancelled' : `was not answered in ${lateSeconds} s`;
    ended.reject(new DriverError('transient', `${method} of the agent ${why}`));
  };
  end.addEventListener('abort', abort, { once: true });
  try {
    end.throwIfAborted();
    const answer = connection.sendRequest(method, params, cancel.token);
    const value: unknown = await Promise.race([answer, ended.promise]);
    const problem = findProblem(result, value, 'result');
    if (problem === undefined) return value;
    throw new DriverError('transient', `the agent's answer to ${method} is wrong: ${problem}`);
  } catch (error) {
    throw toDriverError(error, method);
  } finally {
    end.removeEventListener('abort', abort);
  }
}

const lateSeconds = protocolLimits.agentAnswerMsMax / 1000;

function toDriverError(error: unknown, method: string): DriverError {
  if (error instanceof DriverError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof ResponseError)) {
    return new DriverError('transient', `${method} of the agent: ${message}`, { cause: error });
  }
  if (error.code === ErrorCodes.MethodNotFound) {
    const text = `this agent does not know ${method}`;
    return new DriverError('unsupported', text, { cause: error });
  }
  return new DriverError(driverErrorName(error.code) ?? 'transient', message, { cause: error });
}

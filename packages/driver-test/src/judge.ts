/** Looks at every message of a driver, whatever is being tried: some clauses can be broken at any time. */
import { checkAgentParams, checkNotification } from '@cyborg/driver-host/messages';
import { driverErrorName } from '@cyborg/driver-sdk/errors';
import { agentRequests, driverNotifications } from '@cyborg/driver-sdk/protocol';
import type { AgentMethod, DriverNotification } from '@cyborg/driver-sdk/protocol';
import type { ClauseId } from './clauses.ts';
import { isRecord } from './journal.ts';

export interface Violation {
  readonly clause: ClauseId;
  readonly detail: string;
}

export type Answer = { readonly result: unknown } | { readonly error: WireError };

export interface WireError {
  readonly code: number;
  readonly message: string;
}

export type Heard =
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer }
  | {
      readonly kind: 'request';
      readonly id: string | number;
      readonly method: string;
      readonly params: unknown;
      readonly violation: Violation | undefined;
    }
  | {
      readonly kind: 'notification';
      readonly method: string;
      readonly params: unknown;
      readonly violation?: Violation;
    }
  | { readonly kind: 'violation'; readonly violation: Violation };

export interface Known {
  readonly isPending: (id: number) => boolean;
  readonly backends: ReadonlySet<string>;
}

export function judge(message: unknown, known: Known): Heard {
  if (!isRecord(message) || message['jsonrpc'] !== '2.0') {
    return broken('D-RPC-1', `not a message of JSON-RPC 2.0: ${show(message)}`);
  }
  const { method, id } = message;
  if (typeof method !== 'string') return judgeAnswer(message, known);
  if (id === undefined) return judgeNotification(method, message['params'], known);
  if (typeof id !== 'string' && typeof id !== 'number') {
    return broken('D-ASK-1', `a request with the id ${show(id)}`);
  }
  const violation = judgeRequest(method, message['params']);
  return { kind: 'request', id, method, params: message['params'], violation };
}

function judgeAnswer(message: Record<string, unknown>, known: Known): Heard {
  const { id, result, error } = message;
  if (id === null || id === undefined) {
    return broken('D-RPC-3', `an answer to what was no request: ${show(message)}`);
  }
  if (typeof id !== 'number' || !known.isPending(id)) {
    return broken('D-RPC-1', `an answer to ${show(id)}, which is not waited for: ${show(message)}`);
  }
  if ((result === undefined) === (error === undefined)) {
    return broken(
      'D-RPC-1',
      `an answer with both or neither of result and error: ${show(message)}`,
    );
  }
  if (error === undefined) return { kind: 'answer', id, answer: { result } };
  if (!isRecord(error)) return broken('D-RPC-7', `an error that is no object: ${show(error)}`);
  const { code, message: text } = error;
  if (typeof code !== 'number' || !isKnownCode(code)) {
    return broken('D-RPC-7', `an error with the code ${show(code)}: ${show(error)}`);
  }
  if (typeof text !== 'string' || text.trim() === '') {
    return broken('D-RPC-7', `an error without a message: ${show(error)}`);
  }
  return { kind: 'answer', id, answer: { error: { code, message: text } } };
}

/** JSON-RPC's own are -32768 to -32000, LSP's -32899 to -32800. */
function isKnownCode(code: number): boolean {
  if (driverErrorName(code) !== undefined) return true;
  return (code >= -32_768 && code <= -32_000) || (code >= -32_899 && code <= -32_800);
}

function judgeRequest(method: string, params: unknown): Violation | undefined {
  if (!isAgentMethod(method)) {
    return { clause: 'D-ASK-1', detail: `it asks for ${method}, which no agent knows` };
  }
  const problem = checkAgentParams(method, params);
  if (problem === undefined) return undefined;
  return { clause: 'D-ASK-1', detail: `it asks for ${method} wrongly: ${problem}` };
}

function judgeNotification(method: string, params: unknown, { backends }: Known): Heard {
  if (!isNotification(method)) return { kind: 'notification', method, params };
  const problem = checkNotification(method, params);
  const name = isRecord(params) ? params['backend'] : undefined;
  const isStrange = method !== 'log' && typeof name === 'string' && !backends.has(name);
  const detail = problem ?? (isStrange ? `there is no backend ${show(name)}` : undefined);
  if (detail === undefined) return { kind: 'notification', method, params };
  return {
    kind: 'notification',
    method,
    params,
    violation: { clause: 'D-NOTE-1', detail: `${method} ${show(params)}: ${detail}` },
  };
}

function isAgentMethod(method: string): method is AgentMethod {
  return Object.hasOwn(agentRequests, method);
}

function isNotification(method: string): method is DriverNotification {
  return Object.hasOwn(driverNotifications, method);
}

function broken(clause: ClauseId, detail: string): Heard {
  return { kind: 'violation', violation: { clause, detail } };
}

export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}

/** v2's errors: whatever is thrown becomes `{"error_message": "…"}`, most often with JSON in the string. */
import { V2Fault } from '@cyborg/model/v2/fault';

import { toAnswer } from '../problem.ts';
import type { Answer } from '../problem.ts';

export interface V2Answer {
  readonly status: number;
  readonly body: { readonly error_message: string };
  readonly headers: Readonly<Record<string, string>>;
  readonly logged: Answer['logged'];
}

/** Upstream's 423: the requests of an instance are not resolved yet. */
export class NotResolvedYet extends Error {
  override readonly name = 'NotResolvedYet';
}

/** Turned away before the routes: its text depends on what the client accepts. */
export class RoutingRefusal extends Error {
  override readonly name = 'RoutingRefusal';
  readonly status: 404 | 405 | 406;

  constructor(status: 404 | 405 | 406, detail = '') {
    super(detail);
    this.status = status;
  }
}

export function toV2Answer(error: unknown, requestId: string): V2Answer {
  if (error instanceof NotResolvedYet) {
    return { status: 423, body: { error_message: 'null' }, headers: {}, logged: undefined };
  }
  if (error instanceof V2Fault) {
    const { status, internal } = error;
    const logged = internal === undefined ? undefined : ({ level: 'warn', error } as const);
    return { status, body: wrap(status, error.message), headers: {}, logged };
  }
  const { problem, headers, logged } = toAnswer(error, requestId);
  return { status: problem.status, body: wrap(problem.status, problem.detail), headers, logged };
}

function wrap(status: number, faultstring: string): { error_message: string } {
  const faultcode = status < 500 ? 'Client' : 'Server';
  // With Python's blanks, as clients' tests have it.
  const text = `{"faultcode": "${faultcode}", "faultstring": ${JSON.stringify(faultstring)}, "debuginfo": null}`;
  return { error_message: text };
}

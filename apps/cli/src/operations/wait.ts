/** Follows an operation to its end. */
import { ApiError, ConnectionError } from '@cyborg/api-client/errors';
import type { HttpClient } from '@cyborg/api-client/http';
import type { V3Result } from '@cyborg/api-client/v3';
import { operationLifecycle } from '@cyborg/model/operation-lifecycle';

import { CliError } from '../errors.ts';
import type { CliClock, CliRng } from '../io.ts';

export type Operation = V3Result<'showOperation'>;

export const waitLimits = {
  /** From the moment the connection is lost. */
  lostMsMax: 10_000,
  pauseMsMax: 1_000,
  /** A stream that says nothing for so long is opened again: it then tells the state at once. */
  idleMs: 30_000,
} as const;

export interface WaitDeps {
  readonly http: Pick<HttpClient, 'stream'>;
  readonly clock: CliClock;
  readonly rng: CliRng;
  /** Called with each state that is news. */
  readonly onChange: (operation: Operation) => void;
}

export function isFinal({ state }: Operation): boolean {
  return operationLifecycle.rules[state].settled;
}

/** @throws CliError naming the operation when the server cannot be reached for 10 s. */
export async function waitForOperation(operation: Operation, deps: WaitDeps): Promise<Operation> {
  const { clock, rng } = deps;
  let latest = operation;
  let lostSinceMs: number | undefined;
  while (!isFinal(latest)) {
    const leftMs = lostSinceMs === undefined ? undefined : timeLeftMs(lostSinceMs, clock);
    if (leftMs !== undefined && leftMs <= 0) throw lostError(latest);
    const before = latest;
    for await (const next of followOnce(latest.id, deps, leftMs)) {
      latest = next;
      lostSinceMs = undefined;
      deps.onChange(latest);
    }
    if (isFinal(latest)) break;
    if (latest === before) lostSinceMs ??= clock.monotonicMs();
    const pauseMsMax = Math.min(waitLimits.pauseMsMax, leftMs ?? waitLimits.pauseMsMax);
    await clock.sleep(rng.fraction() * pauseMsMax);
  }
  return latest;
}

function timeLeftMs(lostSinceMs: number, clock: CliClock): number {
  return lostSinceMs + waitLimits.lostMsMax - clock.monotonicMs();
}

/** One connection; ends when it ends or breaks. @throws ApiError when the server will not tell. */
async function* followOnce(
  id: string,
  { http }: WaitDeps,
  leftMs: number | undefined,
): AsyncGenerator<Operation> {
  const path = `/v3/operations/${encodeURIComponent(id)}`;
  const idleTimeoutMs = Math.min(waitLimits.idleMs, leftMs ?? waitLimits.idleMs);
  try {
    for await (const event of http.stream({ path, idleTimeoutMs })) {
      if (event.event === 'operation') yield toOperation(event.data);
    }
  } catch (error) {
    if (!isPassing(error)) throw error;
  }
}

function isPassing(error: unknown): boolean {
  if (error instanceof ApiError) return error.status >= 502 || error.status === 429;
  if (!(error instanceof ConnectionError)) return false;
  return ['lost', 'refused', 'timeout'].includes(error.failure);
}

function toOperation(data: string): Operation {
  const parsed: unknown = JSON.parse(data);
  const isOperation =
    typeof parsed === 'object' &&
    parsed !== null &&
    'state' in parsed &&
    typeof parsed.state === 'string' &&
    parsed.state in operationLifecycle.rules;
  if (!isOperation) throw new CliError('The server told of an operation in a form not known here.');
  // The server validates it against the schema that the type comes from; its state is a known one.
  return parsed as Operation;
}

function lostError({ id, kind }: Operation): CliError {
  return new CliError(
    `Lost the connection for 10 s while waiting for operation ${id} (${kind}), which goes on without us. ` +
      `Look with 'cyborg operation-show ${id}'.`,
  );
}

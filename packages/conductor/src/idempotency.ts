/**
 * Idempotency keys: the first answer is stored in the act's transaction, so it exists exactly when the act does.
 */
import { createHash } from 'node:crypto';

import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import type { Rng } from '@cyborg/service/rng';
import {
  insertAnswer,
  insertIdempotencyKey,
  lockIdempotencyKey,
} from '@cyborg/store/idempotency-keys';
import type { RawBuilder } from 'kysely';

import type { ConductorDeps } from './deps.ts';
import { defaultLimits } from './limits.ts';
import { openAnswer, sealAnswer } from './sealed-answer.ts';
import { act, type Act } from './transaction.ts';

export interface IdempotentRequest {
  readonly caller: Caller;
  readonly method: string;
  /** With its parameters filled in. */
  readonly path: string;
  /** Absent: the work runs every time. */
  readonly key: string | undefined;
  readonly body: unknown;
  /** Given when the answer holds a secret: it is kept encrypted under the key, and the key as its hash. */
  readonly sealWith?: Pick<Rng, 'bytes'>;
}

/** An answer that `work` stores itself, with its changes. */
export interface KeptAnswer {
  readonly statement: RawBuilder<unknown>;
  /** @throws ServiceError `idempotency-running` unless the statement has written a row. */
  check(written: number): void;
}

/** Undefined when the request has no key. */
export type KeepAnswer<Result> = (result: Result) => KeptAnswer | undefined;

const hourMs = 3_600_000;

/**
 * Runs `work` once per scope (project, method, path) and key, and gives later callers its answer for 24 hours.
 *
 * A refusal is not stored: nothing happened, so the same key may try again.
 *
 * @throws ServiceError `idempotency-mismatch` when the key was used with another body; `idempotency-running` while the
 *   first request has not finished.
 */
export async function idempotently<Result>(
  { tx, now }: Act,
  request: IdempotentRequest,
  work: (keep: KeepAnswer<Result>) => Promise<Result>,
): Promise<Result> {
  const { key } = request;
  if (key === undefined) return work(() => undefined);
  const scope = `${request.caller.projectId} ${request.method} ${request.path}`;
  const { sealWith } = request;
  const keyed = {
    scope,
    key: sealWith !== undefined ? `sha256:${hashOf(key)}` : key,
    bodyHash: hashOf(request.body),
    now,
    expiredBefore: new Date(now.getTime() - defaultLimits.idempotencyHours * hourMs),
  };
  const found = await lockIdempotencyKey(tx, keyed);
  if (found === 'locked') throw running(key);
  if (found !== undefined) {
    if (found.bodyHash !== keyed.bodyHash) throw mismatch(key);
    const kept =
      sealWith === undefined ? found.response : openAnswer(found.response, { key, scope });
    return fromStored(kept) as Result;
  }
  const toKept = (answer: Result): unknown =>
    sealWith === undefined
      ? toStored(answer)
      : sealAnswer(toStored(answer), { key, scope, rng: sealWith });
  // When the first request ended between our snapshot and our lock, it is stored now, and ours is undone.
  const check = (written: number): void => {
    if (written !== 1) throw running(key);
  };
  let isKept = false;
  const result = await work((answer) => {
    isKept = true;
    return { statement: insertAnswer({ ...keyed, response: toKept(answer) }), check };
  });
  if (!isKept) {
    const isStored = await insertIdempotencyKey(tx, { ...keyed, response: toKept(result) });
    check(isStored ? 1 : 0);
  }
  return result;
}

/** One act, run once per key. */
export function actOnce<Result>(
  deps: Pick<ConductorDeps, 'db' | 'clock' | 'wake' | 'limits'>,
  request: IdempotentRequest,
  work: (running: Act) => Promise<Result>,
): Promise<Result> {
  return act(deps, (running) => idempotently(running, request, () => work(running)));
}

function running(key: string): ServiceError {
  return new ServiceError(
    'idempotency-running',
    `The first request with idempotency key "${key}" is still running: ask again shortly.`,
    { extra: { retry_after_seconds: defaultLimits.idempotencyRetryAfterSeconds } },
  );
}

function mismatch(key: string): ServiceError {
  return new ServiceError(
    'idempotency-mismatch',
    `Idempotency key "${key}" was used with another body: use a new key for a new request.`,
  );
}

function hashOf(body: unknown): string {
  return createHash('sha256').update(canonical(body)).digest('hex');
}

/** JSON with sorted keys: the same body in another order is the same body. */
function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_key, part: unknown) =>
      isRecord(part)
        ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
        : part,
    ) ?? 'null'
  );
}

const instantTag = '$instant';

/** Views carry `Date`s, which JSON would turn into plain text. */
function toStored(value: unknown): unknown {
  if (value instanceof Date) return { [instantTag]: value.toISOString() };
  if (Array.isArray(value)) return value.map(toStored);
  if (!isRecord(value)) return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, toStored(part)]));
}

function fromStored(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromStored);
  if (!isRecord(value)) return value;
  const instant = value[instantTag];
  if (typeof instant === 'string') return new Date(instant);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, fromStored(part)]));
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  );
}

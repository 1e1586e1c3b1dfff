/** When a request may be sent again, and after which pause. */
import { ApiError, ConnectionError } from './errors.ts';
import type { HttpRequest } from './transport.ts';

/** Fits `Clock` of @cyborg/service. */
export interface ClientClock {
  monotonicMs(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Fits `Rng` of @cyborg/service. */
export interface ClientRng {
  fraction(): number;
}

export interface RetryLimits {
  /** From the first failure to the last attempt; 0 = never again. */
  readonly totalMsMax: number;
  /** The same while every connection was refused: nobody waits long for a server that is not there. */
  readonly firstContactMsMax: number;
  readonly firstPauseMsMax: number;
  readonly pauseMsMax: number;
}

export const defaultRetry: RetryLimits = {
  totalMsMax: 10_000,
  firstContactMsMax: 10_000,
  firstPauseMsMax: 200,
  pauseMsMax: 2_000,
};

const idempotentMethods = new Set(['GET', 'HEAD', 'PUT', 'DELETE']);
const overloadStatuses = new Set([429, 503]);
const gatewayStatuses = new Set([502, 504]);

/** Whether sending it again cannot do the act twice, given how it failed. */
export function mayRepeat(request: HttpRequest, error: unknown): boolean {
  const isRepeatable =
    idempotentMethods.has(request.method) || request.headers?.['idempotency-key'] !== undefined;
  if (error instanceof ConnectionError) {
    return error.failure === 'refused' || (error.failure === 'lost' && isRepeatable);
  }
  if (!(error instanceof ApiError)) return false;
  if (overloadStatuses.has(error.status)) return true;
  if (error.code === 'idempotency-running') return true;
  return gatewayStatuses.has(error.status) && isRepeatable;
}

/** Full jitter below a bound that doubles; never before `Retry-After`. */
export function pauseMs(
  attempt: number,
  error: unknown,
  { limits, rng }: { limits: RetryLimits; rng: ClientRng },
): number {
  const boundMs = Math.min(limits.pauseMsMax, limits.firstPauseMsMax * 2 ** (attempt - 1));
  const askedMs = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
  return askedMs + rng.fraction() * boundMs;
}

export interface RetryDeps {
  readonly limits: RetryLimits;
  readonly clock: ClientClock;
  readonly rng: ClientRng;
  /** Whether the server has answered this client before. */
  readonly hasContact: () => boolean;
}

/** Runs `attempt` until it succeeds, must not be repeated, or its time is over; then throws the last error. */
export async function withRetry<T>(
  request: HttpRequest,
  attempt: () => Promise<T>,
  { limits, clock, rng, hasContact }: RetryDeps,
): Promise<T> {
  let firstFailureMs: number | undefined;
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!mayRepeat(request, error)) throw error;
      const nowMs = clock.monotonicMs();
      firstFailureMs ??= nowMs;
      const isAbsent = !hasContact() && isRefused(error);
      const totalMsMax = isAbsent ? limits.firstContactMsMax : limits.totalMsMax;
      const waitMs = pauseMs(attempts, error, { limits, rng });
      if (nowMs + waitMs - firstFailureMs > totalMsMax) throw error;
      await clock.sleep(waitMs, request.signal);
    }
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof ConnectionError && error.failure === 'refused';
}

import { ApiError } from '@cyborg/api-client/errors';
import { backoffMs } from '@cyborg/service/backoff';
import type { Rng } from '@cyborg/service/rng';
import { agentDefaults } from '../limits.ts';

/** The pause before the next try: full jitter, and never before the server's Retry-After. */
export function serverPauseMs(attempt: number, error: unknown, rng: Rng): number {
  const bounds = {
    firstMs: agentDefaults.serverRetryFirstMs,
    maxMs: agentDefaults.serverRetryMaxMs,
  };
  const askedMs = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
  return askedMs + backoffMs(attempt, bounds, rng);
}

export function hasProblem(error: unknown, ...codes: string[]): error is ApiError {
  return error instanceof ApiError && codes.includes(error.code);
}

export function isRefusedCredential(error: unknown): error is ApiError {
  return error instanceof ApiError && (error.status === 401 || error.code === 'not-authenticated');
}

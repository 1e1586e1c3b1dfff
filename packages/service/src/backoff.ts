import type { Rng } from './rng.ts';

export interface BackoffLimits {
  /** Upper bound of the first pause. */
  readonly firstMs: number;
  /** Upper bound of every pause. */
  readonly maxMs: number;
}

/**
 * A pause before attempt `attempt` (1 after the first failure), anywhere from 0 to its bound: "full
 * jitter", so that many who failed together do not come back together.
 *
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backoffMs(
  attempt: number,
  { firstMs, maxMs }: BackoffLimits,
  rng: Pick<Rng, 'fraction'>,
): number {
  return rng.fraction() * backoffBoundMs(attempt, { firstMs, maxMs });
}

function backoffBoundMs(attempt: number, { firstMs, maxMs }: BackoffLimits): number {
  return Math.min(maxMs, firstMs * 2 ** (Math.max(1, attempt) - 1));
}

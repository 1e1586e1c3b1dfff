/**
 * What is over by the clock alone waits a moment after a start: before it, nobody may have heard what hosts had done in time.
 * The start is that of the process that reconciles: where others answer agents (`--role api`), start those first.
 */
import type { ConductorDeps } from '../deps.ts';

/** From now on, which is the start. @returns whether those that can have said how far they are. */
export function watchHostsReturn({
  clock,
  limits,
}: Pick<ConductorDeps, 'clock' | 'limits'>): () => boolean {
  const backAtMs = clock.monotonicMs() + limits.hostsReturnSeconds * 1000;
  return () => clock.monotonicMs() >= backAtMs;
}

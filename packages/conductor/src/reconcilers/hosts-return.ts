/** What is over by the clock alone waits a moment after a start: meanwhile nobody heard what hosts had done in time. */
import type { ConductorDeps } from '../deps.ts';

/** From now on, which is the start. @returns whether those that can have said how far they are. */
export function watchHostsReturn({
  clock,
  limits,
}: Pick<ConductorDeps, 'clock' | 'limits'>): () => boolean {
  const backAtMs = clock.monotonicMs() + limits.hostsReturnSeconds * 1000;
  return () => clock.monotonicMs() >= backAtMs;
}

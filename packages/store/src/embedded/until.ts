/** What the embedded database needs of a `Clock`. */
export interface EmbeddedClock {
  monotonicMs(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

const pollMs = 20;

/** Polls until the condition holds; false when `timeoutMs` passed first. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  { clock, timeoutMs }: { clock: EmbeddedClock; timeoutMs: number },
): Promise<boolean> {
  const end = clock.monotonicMs() + timeoutMs;
  while (!(await condition())) {
    if (clock.monotonicMs() >= end) return false;
    await clock.sleep(pollMs);
  }
  return true;
}

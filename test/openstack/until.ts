/** Waiting for the lab: by condition, and with an end. */
import { setTimeout as pause } from 'node:timers/promises';

const pollMs = 300;

interface Wait {
  /** What is awaited, for the error: `the server is ACTIVE`. */
  readonly what: string;
  readonly seconds: number;
}

/**
 * Looks again until there is an answer. A look that throws is a look without one: services die in these tests.
 *
 * @throws when the time is over, with what the last look threw.
 */
export async function until<Found>(
  { what, seconds }: Wait,
  look: () => Promise<Found | undefined>,
): Promise<Found> {
  const endMs = performance.now() + seconds * 1000;
  let trouble: unknown;
  do {
    try {
      const found = await look();
      if (found !== undefined) return found;
      trouble = undefined;
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      trouble = error;
    }
    await pause(pollMs);
  } while (performance.now() < endMs);
  throw new Error(`${what}: not within ${seconds} s`, { cause: trouble });
}

/** Ends a wait for what cannot happen any more. */
export class Hopeless extends Error {
  override readonly name = 'Hopeless';
}

import { randomBytes, randomInt, randomUUID } from 'node:crypto';

/** Randomness and ids as an argument, so that one seed can replay one history. */
export interface Rng {
  /** A random UUID (version 4). */
  uuid(): string;
  /** `count` random bytes, good enough for a secret. */
  bytes(count: number): Buffer;
  /** A number from 0 (included) to 1 (excluded). */
  fraction(): number;
}

const fractionSteps = 2 ** 47;

export const systemRng: Rng = {
  uuid: () => randomUUID(),
  bytes: (count) => randomBytes(count),
  fraction: () => randomInt(fractionSteps) / fractionSteps,
};

/** Bounds of every outgoing call. Times in milliseconds, sizes in bytes. */
export interface CallLimits {
  /** One attempt: connecting, sending, and the whole answer (of a download: its head). */
  readonly attemptMs: number;
  /** All attempts of one call with the pauses between them. */
  readonly callMs: number;
  readonly attemptsMax: number;
  readonly retryFirstMs: number;
  readonly retryMaxMs: number;
  readonly answerBytesMax: number;
  /** A download that brings nothing for so long is broken off. */
  readonly downloadIdleMs: number;
}

export const defaultCallLimits: CallLimits = {
  attemptMs: 10_000,
  callMs: 30_000,
  attemptsMax: 4,
  retryFirstMs: 200,
  retryMaxMs: 5_000,
  answerBytesMax: 32 * 1024 * 1024,
  downloadIdleMs: 30_000,
};

/** Retries of all calls to one service together: spent one each, earned back by calls that succeed. */
export const retryBudget = { tokensMax: 20, earnedPerSuccess: 0.1 } as const;

export const connectionLimits = {
  socketsMax: 32,
  /** Below the servers' own keep-alive times, so that rarely both ends act at once. */
  socketIdleMs: 4_000,
} as const;

export const tokenLimits = {
  /** A token is renewed when less than this, or a tenth of its life, is left. */
  renewBeforeMs: 5 * 60_000,
  renewBeforeFraction: 0.1,
  /** After a sign-in that Keystone refused, the next is tried no sooner: accounts are locked by guessing. */
  refusedPauseMs: 5_000,
} as const;

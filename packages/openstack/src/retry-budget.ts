import { retryBudget } from './limits.ts';

/**
 * Keeps retries a small part of the calls: a service that is down is not asked several times for each call that
 * needs it. Each retry costs one token; a call that succeeds earns a tenth of one.
 */
export interface RetryBudget {
  /** False when nothing is left: give up at once. */
  spend(): boolean;
  earn(): void;
}

export function makeRetryBudget(): RetryBudget {
  let tokens: number = retryBudget.tokensMax;
  return {
    spend() {
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
    earn() {
      tokens = Math.min(retryBudget.tokensMax, tokens + retryBudget.earnedPerSuccess);
    },
  };
}

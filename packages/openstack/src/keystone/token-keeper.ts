/** Keeps one token: signs in when it is needed, once for all who wait, and again before it expires. */
import { abortReason } from '@cyborg/service/clock';

import { OpenStackError, isOutage } from '../errors.ts';
import { tokenLimits } from '../limits.ts';
import type { SessionClock } from '../time.ts';
import type { SignIn, SignedIn } from './sign-in.ts';

export interface TokenKeeper {
  /** @throws {OpenStackError} when no token can be had. */
  get(signal?: AbortSignal): Promise<SignedIn>;
  /** It was refused: the next `get` signs in, unless somebody did already. */
  drop(signedIn: SignedIn): void;
}

interface Kept {
  readonly signedIn: SignedIn;
  readonly renewAtMs: number;
  readonly expiresAtMs: number;
}

export function makeTokenKeeper(signIn: SignIn, clock: SessionClock): TokenKeeper {
  let kept: Kept | undefined;
  let running: Promise<SignedIn> | undefined;
  let refusal: { readonly error: OpenStackError; readonly untilMs: number } | undefined;

  const renew = async (): Promise<SignedIn> => {
    // Measured from before the request, by durations only: Keystone's clock may differ from ours.
    const beganMs = clock.monotonicMs();
    try {
      const signedIn = await signIn(undefined);
      kept = toKept(signedIn, beganMs);
      refusal = undefined;
      return signedIn;
    } catch (error) {
      if (error instanceof OpenStackError && error.failure === 'sign-in') {
        refusal = { error, untilMs: clock.monotonicMs() + tokenLimits.refusedPauseMs };
      }
      throw error;
    }
  };
  const renewOnce = (): Promise<SignedIn> => {
    if (refusal !== undefined && clock.monotonicMs() < refusal.untilMs) {
      return Promise.reject(refusal.error);
    }
    running ??= renew().finally(() => {
      running = undefined;
    });
    return running;
  };
  return {
    async get(signal) {
      const nowMs = clock.monotonicMs();
      const old = kept;
      if (old !== undefined && nowMs < old.renewAtMs) return old.signedIn;
      if (old === undefined || nowMs >= old.expiresAtMs) return orAborted(renewOnce(), signal);
      try {
        return await orAborted(renewOnce(), signal);
      } catch (error) {
        if (isOutage(error)) return old.signedIn; // it is good for a while yet
        throw error;
      }
    },
    drop(signedIn) {
      if (kept?.signedIn === signedIn) kept = undefined;
    },
  };
}

function toKept(signedIn: SignedIn, beganMs: number): Kept {
  const { issuedAt, expiresAt } = signedIn.token;
  const lifeMs = Math.max(0, expiresAt.getTime() - issuedAt.getTime());
  const { renewBeforeMs, renewBeforeFraction } = tokenLimits;
  return {
    signedIn,
    expiresAtMs: beganMs + lifeMs,
    renewAtMs: beganMs + lifeMs - Math.min(renewBeforeMs, lifeMs * renewBeforeFraction),
  };
}

/** One who gives up does not end the sign-in for the others. */
async function orAborted<Result>(
  work: Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (signal === undefined) return work;
  if (signal.aborted) {
    work.catch(() => undefined);
    throw abortReason(signal);
  }
  const given = Promise.withResolvers<never>();
  const abort = (): void => given.reject(abortReason(signal));
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, given.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

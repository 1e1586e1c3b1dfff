/** What Keystone said of tokens lately: bounded in time, so that a revocation is seen, and in number. */
import { createHmac } from 'node:crypto';

import { ServiceError } from '@cyborg/model/errors';
import type { Token } from '@cyborg/openstack/keystone/token';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';

export const tokenCacheLimits = {
  /** No valid token is believed for longer without asking Keystone: a revoked one works for so long at most. */
  validSecondsMax: 60,
  /** A token that Keystone does not know is not asked for again for so long. */
  invalidSeconds: 10,
  validMax: 10_000,
  /** Apart from the valid ones, which a flood of wrong tokens must not push out. */
  invalidMax: 2_000,
  /** Questions to Keystone at a time; more are told to try again. */
  askingMax: 500,
} as const;

export interface TokenQuestion {
  readonly token: string;
  readonly allowExpired: boolean;
}

export interface ValidatedTokens {
  /** Asks once for all who ask for the same token at the same time. What `ask` throws is not remembered. */
  get(question: TokenQuestion): Promise<Token | undefined>;
}

export interface ValidatedTokensDeps {
  readonly clock: Clock;
  readonly rng: Pick<Rng, 'bytes'>;
  /** At most `validSecondsMax`; 0 asks Keystone each time. */
  readonly validSeconds: number;
  readonly ask: (question: TokenQuestion) => Promise<Token | undefined>;
}

export function makeValidatedTokens(deps: ValidatedTokensDeps): ValidatedTokens {
  const { clock } = deps;
  const valid = makeBoundedMap<Token>(tokenCacheLimits.validMax, clock);
  const invalid = makeBoundedMap<true>(tokenCacheLimits.invalidMax, clock);
  const asking = new Map<string, Promise<Token | undefined>>();
  // The table has no token that somebody could use who reads the memory.
  const secret = deps.rng.bytes(32);
  const keyOf = ({ token, allowExpired }: TokenQuestion): string =>
    createHmac('sha256', secret).update(`${allowExpired} ${token}`).digest('base64');

  const ask = async (key: string, question: TokenQuestion): Promise<Token | undefined> => {
    const token = await deps.ask(question);
    if (token === undefined) {
      if (deps.validSeconds > 0) invalid.set(key, true, tokenCacheLimits.invalidSeconds * 1000);
      return undefined;
    }
    valid.set(key, token, validMs(token, question, deps));
    return token;
  };
  return {
    async get(question) {
      const key = keyOf(question);
      const known = valid.get(key);
      if (known !== undefined) return known;
      if (invalid.get(key) !== undefined) return undefined;
      const running = asking.get(key);
      if (running !== undefined) return running;
      if (asking.size >= tokenCacheLimits.askingMax) throw tooMany();
      const asked = ask(key, question).finally(() => asking.delete(key));
      asking.set(key, asked);
      return asked;
    },
  };
}

function validMs(
  { expiresAt }: Token,
  { allowExpired }: TokenQuestion,
  { clock, validSeconds }: ValidatedTokensDeps,
): number {
  const boundMs = Math.min(validSeconds, tokenCacheLimits.validSecondsMax) * 1000;
  return allowExpired ? boundMs : Math.min(boundMs, expiresAt.getTime() - clock.now().getTime());
}

interface BoundedMap<Value> {
  get(key: string): Value | undefined;
  set(key: string, value: Value, forMs: number): void;
}

/** Drops what was set longest ago when it is full. */
function makeBoundedMap<Value>(max: number, clock: Clock): BoundedMap<Value> {
  const entries = new Map<string, { readonly value: Value; readonly endsAtMs: number }>();
  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      if (entry.endsAtMs > clock.monotonicMs()) return entry.value;
      entries.delete(key);
      return undefined;
    },
    set(key, value, forMs) {
      if (forMs <= 0) return;
      entries.delete(key);
      entries.set(key, { value, endsAtMs: clock.monotonicMs() + forMs });
      const [oldest] = entries.keys();
      if (entries.size > max && oldest !== undefined) entries.delete(oldest);
    },
  };
}

function tooMany(): ServiceError {
  return new ServiceError(
    'unavailable',
    'Too many tokens wait for Keystone to tell whose they are: try again.',
    { internal: `${tokenCacheLimits.askingMax} validations are running` },
  );
}

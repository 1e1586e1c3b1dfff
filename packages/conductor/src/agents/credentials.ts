/** Secrets are given out once and kept as SHA-256: 32 random bytes need no slow hash. */
import { createHash } from 'node:crypto';

import type { Rng } from '@cyborg/service/rng';

import type { ConductorDeps } from '../deps.ts';

const secretBytes = 32;
/** How long a revoked credential may still be taken by another replica. */
const cacheMs = 5000;
const cachedMax = 10_000;

export interface AgentHost {
  readonly id: string;
  readonly name: string;
}

export function makeSecret(rng: Rng): { readonly secret: string; readonly hash: string } {
  // Hexadecimal: no dash in front, which a command line would take for an option.
  const secret = rng.bytes(secretBytes).toString('hex');
  return { secret, hash: hashOf(secret) };
}

export function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

export interface Authenticator {
  authenticateAgent(credential: string): Promise<AgentHost | undefined>;
  /** After a revocation here: nobody is known from memory any more. */
  forget(): void;
}

/** Knows a credential for 5 s without asking the database. */
export function makeAuthenticator({ db, clock }: ConductorDeps): Authenticator {
  const known = new Map<string, { readonly host: AgentHost; readonly untilMs: number }>();
  return {
    async authenticateAgent(credential) {
      const hash = hashOf(credential);
      const cached = known.get(hash);
      if (cached !== undefined && cached.untilMs > clock.monotonicMs()) return cached.host;
      const host = await db
        .selectFrom('host')
        .select(['id', 'name'])
        .where('credential_hash', '=', hash)
        .where('revoked_at', 'is', null)
        .executeTakeFirst();
      if (known.size >= cachedMax) known.clear();
      if (host === undefined) known.delete(hash);
      else known.set(hash, { host, untilMs: clock.monotonicMs() + cacheMs });
      return host;
    },
    forget: () => known.clear(),
  };
}

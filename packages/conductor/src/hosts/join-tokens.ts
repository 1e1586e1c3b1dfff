import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';

import { makeSecret } from '../agents/credentials.ts';
import type { ConductorDeps } from '../deps.ts';
import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';

export interface JoinTokenView {
  /** Shown once; the ledger keeps its hash. */
  readonly token: string;
  readonly host: string | null;
  readonly expires_at: Date;
}

export interface JoinTokenWish {
  readonly caller: Caller;
  /** Bound to this name, or to the first host that uses it. */
  readonly hostName: string | null;
  readonly isReenrol: boolean;
  readonly isSimulated: boolean;
}

/** @throws ServiceError `already-exists` when a plain token is asked for a host that is known. */
export async function makeJoinToken(
  { rng, limits }: Pick<ConductorDeps, 'rng' | 'limits'>,
  running: Act,
  { caller, hostName, isReenrol, isSimulated }: JoinTokenWish,
): Promise<JoinTokenView> {
  const { tx, now } = running;
  if (!isReenrol && hostName !== null) await refuseKnown(running, hostName);
  const { secret, hash } = makeSecret(rng);
  const id = rng.uuid();
  const expiresAt = new Date(now.getTime() + limits.joinTokenSeconds * 1000);
  await tx
    .insertInto('join_token')
    .values({
      id,
      token_hash: hash,
      host_name: hostName,
      is_reenrol: isReenrol,
      is_simulated: isSimulated,
      expires_at: expiresAt,
      created_by: caller.userId,
      created_at: now,
    })
    .execute();
  await recordEvents(running, [
    {
      kind: 'join-token.created',
      subjectKind: 'join-token',
      subjectId: id,
      userId: caller.userId,
      data: { host: hostName, reenrol: isReenrol, simulated: isSimulated },
    },
  ]);
  return { token: secret, host: hostName, expires_at: expiresAt };
}

async function refuseKnown({ tx }: Act, name: string): Promise<void> {
  const known = await tx
    .selectFrom('host')
    .select('id')
    .where('name', '=', name)
    .executeTakeFirst();
  if (known === undefined) return;
  throw new ServiceError(
    'already-exists',
    `Host ${name} is enrolled already: \`cyborg host-reenroll ${name}\` makes a token for it.`,
  );
}

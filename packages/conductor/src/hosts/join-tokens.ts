import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';

import { makeSecret } from '../agents/credentials.ts';
import type { ConductorDeps } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { actOnce } from '../idempotency.ts';
import { recordEvents } from '../record-event.ts';
import { scopeOf } from '../scope.ts';
import type { Act } from '../transaction.ts';
import { findHost } from './find-host.ts';
import { revoke } from './revoke-host.ts';

export interface JoinTokenView {
  readonly id: string;
  /** Told to who asked, also when the request is repeated with its key; the ledger keeps its hash. */
  readonly token: string;
  readonly host: string | null;
  readonly expires_at: Date;
  readonly created_at: Date;
}

export type JoinTokenInput = Input<
  object,
  DryRunQuery,
  { readonly host?: string | undefined; readonly simulated?: boolean | undefined }
>;
export type ReenrollInput = Input<{ readonly host: string }, DryRunQuery>;

export interface JoinTokenWish {
  readonly caller: Caller;
  /** Bound to this name, or to the first host that uses it. */
  readonly hostName: string | null;
  readonly isReenrol: boolean;
  readonly isSimulated: boolean;
}

export async function createJoinToken(
  deps: ConductorDeps,
  caller: Caller,
  { query, body, idempotencyKey: key }: JoinTokenInput,
): Promise<JoinTokenView | DryRunView> {
  const hostName = body.host ?? null;
  if (query.dry_run === true) {
    return dryRun(deps, async (running) => {
      if (hostName !== null) await refuseKnown(running, hostName);
      const change = `a join token for ${hostName ?? 'any new host'} is made`;
      return [{ subject_kind: 'join-token', subject_id: hostName ?? '*', change }];
    });
  }
  const request = {
    caller,
    method: 'POST',
    path: '/v3/join-tokens',
    key,
    body,
    sealWith: deps.rng,
  };
  const isSimulated = body.simulated ?? false;
  return actOnce(deps, request, (running) =>
    makeJoinToken(deps, running, { caller, hostName, isReenrol: false, isSimulated }),
  );
}

/** The old credential is worth nothing from here on, whether or not the token is ever used. */
export async function reenrollHost(
  deps: ConductorDeps,
  caller: Caller,
  { params, query, idempotencyKey: key }: ReenrollInput,
): Promise<JoinTokenView | DryRunView> {
  if (query.dry_run === true) {
    return dryRun(deps, async ({ tx }) => {
      const row = await findHost(tx, scopeOf(caller), params);
      const change = `the credential of the agent of ${row.name} is revoked and a join token is made; attachments stay`;
      return [{ subject_kind: 'host', subject_id: row.id, change }];
    });
  }
  const path = `/v3/hosts/${params.host}/reenroll`;
  const request = { caller, method: 'POST', path, key, body: null, sealWith: deps.rng };
  return actOnce(deps, request, async (running) => {
    const row = await findHost(running.tx, scopeOf(caller), { ...params, isLocked: true });
    await revoke(running, row, caller);
    const known = { hostName: row.name, isReenrol: true, isSimulated: row.simulated };
    return makeJoinToken(deps, running, { caller, ...known });
  });
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
  return { id, token: secret, host: hostName, expires_at: expiresAt, created_at: now };
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

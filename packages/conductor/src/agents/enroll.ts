/** Join token → credential. A known host needs a token of `host-reenroll`; its attachments stay as they are. */
import { ServiceError } from '@cyborg/model/errors';
import { toJson } from '@cyborg/store/json';
import type { HostTable, JoinTokenTable } from '@cyborg/store/schema';
import type { Selectable } from 'kysely';

import type { ConductorDeps, Ledger } from '../deps.ts';
import { changedAt } from '../etag.ts';
import { recordEvents } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';
import { hashOf, makeSecret } from './credentials.ts';

export interface EnrollBody {
  readonly token: string;
  readonly host: { readonly name: string; readonly node_name: string };
  readonly instance: string;
  readonly version: string;
  readonly facts: Readonly<Record<string, string>>;
}

export interface EnrollView {
  readonly host_id: string;
  readonly host_name: string;
  readonly credential: string;
  readonly ledger: Ledger;
}

type Token = Selectable<JoinTokenTable>;
type Host = Selectable<HostTable>;

/** @throws ServiceError `enrolment-refused` saying what is wrong with the token. */
export function enroll(deps: ConductorDeps, body: EnrollBody): Promise<EnrollView> {
  return act(deps, async (running) => {
    const token = await takeToken(running, body);
    const known = await findHost(running, body.host.name);
    checkKnown(known, token);
    const { secret, hash } = makeSecret(deps.rng);
    const hostId = known?.id ?? deps.rng.uuid();
    if (known === undefined) await addHost(running, { hostId, hash, body, token });
    else await replaceCredential(running, known, { hash, body });
    await recordEvents(running, [
      {
        kind: known === undefined ? 'host.enrolled' : 'host.re-enrolled',
        subjectKind: 'host',
        subjectId: hostId,
        hostId,
        data: { name: body.host.name, simulated: token.is_simulated },
      },
    ]);
    running.wakeUps.add('deployments');
    return { host_id: hostId, host_name: body.host.name, credential: secret, ledger: deps.ledger };
  });
}

function refused(why: string): ServiceError {
  return new ServiceError('enrolment-refused', why);
}

async function takeToken(running: Act, { token, host }: EnrollBody): Promise<Token> {
  const { tx, now } = running;
  const found = await tx
    .selectFrom('join_token')
    .selectAll()
    .where('token_hash', '=', hashOf(token))
    .forUpdate()
    .executeTakeFirst();
  if (found === undefined) {
    throw refused('The join token is unknown: make one with `cyborg join-token-create`.');
  }
  if (found.expires_at <= now) {
    throw refused(
      `The join token expired at ${found.expires_at.toISOString()}: make a new one with \`cyborg join-token-create\`.`,
    );
  }
  if (found.host_name !== null && found.host_name !== host.name) {
    throw refused(`The join token is for host ${found.host_name}, not ${host.name}.`);
  }
  if (found.used_at !== null && !(await wasAnswerLost(running, found))) {
    throw refused(
      `The join token was used at ${found.used_at.toISOString()}: a token joins one host once.`,
    );
  }
  await tx
    .updateTable('join_token')
    .set({ used_at: now, host_name: host.name })
    .where('id', '=', found.id)
    .execute();
  return found;
}

/** An agent that lost our answer asks again: until the credential has been used, the token is good for its host. */
async function wasAnswerLost({ tx }: Act, token: Token): Promise<boolean> {
  if (token.used_at === null || token.host_name === null) return false;
  const host = await tx
    .selectFrom('host')
    .select(['agent_since', 'lease_expires_at'])
    .where('name', '=', token.host_name)
    .executeTakeFirst();
  return host !== undefined && (host.agent_since === null || host.agent_since < token.used_at);
}

function findHost({ tx }: Act, name: string): Promise<Host | undefined> {
  return tx.selectFrom('host').selectAll().where('name', '=', name).forUpdate().executeTakeFirst();
}

function checkKnown(known: Host | undefined, token: Token): void {
  if (known !== undefined && !token.is_reenrol && token.used_at === null) {
    throw refused(
      `Host ${known.name} is enrolled already. If this is the same machine again, make a token with ` +
        `\`cyborg host-reenroll ${known.name}\`; otherwise give it another name.`,
    );
  }
}

async function addHost(
  { tx, now }: Act,
  given: { hostId: string; hash: string; body: EnrollBody; token: Token },
): Promise<void> {
  const { hostId, hash, body, token } = given;
  await tx
    .insertInto('host')
    .values({
      id: hostId,
      name: body.host.name,
      node_name: body.host.node_name,
      simulated: token.is_simulated,
      facts: toJson(body.facts),
      credential_hash: hash,
      agent_version: body.version,
      created_at: now,
    })
    .execute();
}

/** Who holds the lease keeps it until it ends, so two agents of one host never overlap. */
async function replaceCredential(
  { tx, now }: Act,
  host: Host,
  { hash, body }: { hash: string; body: EnrollBody },
): Promise<void> {
  await tx
    .updateTable('host')
    .set({
      credential_hash: hash,
      revoked_at: null,
      node_name: body.host.node_name,
      facts: toJson(body.facts),
      updated_at: changedAt(host, now),
    })
    .where('id', '=', host.id)
    .execute();
}

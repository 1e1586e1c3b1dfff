/** Join token → credential. The token is used up once; the credential stays until an operator revokes it. */
import { readFile } from 'node:fs/promises';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { messageOf } from '../hypervisors/node-error.ts';
import type { Log } from '../log.ts';
import { readCredential, tokenHash, writeCredential } from '../state/credential.ts';
import type { LedgerMemory } from '../state/ledger-memory.ts';
import { agentVersion } from '../version.ts';
import { serverPauseMs } from './pause.ts';
import type { ServerLink } from './server-link.ts';

export interface EnrolmentDeps {
  readonly link: ServerLink;
  readonly ledger: LedgerMemory;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly stateDir: string;
  readonly host: { readonly name: string; readonly nodeName: string };
  readonly facts: Readonly<Record<string, string>>;
  readonly joinToken: string | undefined;
  readonly joinTokenFile: string | undefined;
}

/** Uses the credential that is there, or enrols until it works. */
export async function ensureCredential(deps: EnrolmentDeps, signal: AbortSignal): Promise<void> {
  const known = await readCredential(deps.stateDir);
  if (known !== undefined && deps.ledger.current !== undefined) {
    if (known.host_name !== deps.host.name) {
      deps.log.warn(
        { enrolled: known.host_name, given: deps.host.name },
        'this host is enrolled under another name than --host-name gives; the enrolled one counts',
      );
    }
    deps.link.useCredential(known.credential);
    return;
  }
  await enrolUntilDone(deps, signal);
}

/**
 * After the server refused the credential: enrols with a join token that has not been used yet, when there is one.
 *
 * @returns whether there is a new credential.
 */
export async function renewCredential(deps: EnrolmentDeps, signal: AbortSignal): Promise<boolean> {
  const known = await readCredential(deps.stateDir);
  const token = await readToken(deps);
  if (token === undefined || tokenHash(token) === known?.token_sha256) return false;
  try {
    await enrolOnce(deps, token, signal);
    return true;
  } catch (error) {
    deps.log.error({ err: error }, 'the server refused the credential and the join token');
    return false;
  }
}

async function enrolUntilDone(deps: EnrolmentDeps, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const token = await readToken(deps);
      if (token === undefined) {
        throw new Error(
          'this host is not enrolled and there is no join token: give --join-token or --join-token-file (`cyborg join-token-create` makes one)',
        );
      }
      return await enrolOnce(deps, token, signal);
    } catch (error) {
      signal.throwIfAborted();
      deps.log.error({ reason: messageOf(error) }, 'cannot enrol yet; trying again');
      await deps.clock.sleep(serverPauseMs(attempt, error, deps.rng), signal);
    }
  }
}

async function enrolOnce(deps: EnrolmentDeps, token: string, signal: AbortSignal): Promise<void> {
  const { link, host } = deps;
  link.useCredential(undefined);
  const answer = await link.client.enroll({
    body: {
      token,
      host: { name: host.name, node_name: host.nodeName },
      instance: link.instance,
      version: agentVersion,
      facts: { ...deps.facts },
    },
    signal,
  });
  await deps.ledger.enrolledWith(answer.ledger);
  await writeCredential(deps.stateDir, {
    credential: answer.credential,
    host_id: answer.host_id,
    host_name: answer.host_name,
    token_sha256: tokenHash(token),
  });
  link.useCredential(answer.credential);
  deps.log.info({ host: answer.host_name, ledger: answer.ledger.id }, 'enrolled');
}

async function readToken({ joinToken, joinTokenFile }: EnrolmentDeps): Promise<string | undefined> {
  if (joinToken !== undefined) return joinToken;
  if (joinTokenFile === undefined) return undefined;
  const text = (await readFile(joinTokenFile, 'utf8')).trim();
  return text === '' ? undefined : text;
}

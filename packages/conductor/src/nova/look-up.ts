/**
 * Before an attach, Nova is asked twice: with the caller's token whether the caller sees the server, and by our own user
 * where it is, which only admins may know. What it says goes into the ledger, which the attach itself goes by.
 */
import { isAdmin, type Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { isUuid } from '@cyborg/model/ids';
import { wayToAttach } from '@cyborg/model/nova-operations';
import { isAnswer, isOutage, OpenStackError } from '@cyborg/openstack/errors';
import type { NovaClient, NovaServer } from '@cyborg/openstack/nova';
import { findInstancesOfNova, novaHypervisor } from '@cyborg/store/nova/servers';

import type { ConductorDeps } from '../deps.ts';
import { instancesInScope, scopeOf } from '../scope.ts';
import { novaLimits } from './limits.ts';
import { noteServers } from './note-server.ts';

const retryAfterSeconds = 5;

/**
 * @param instance  an id, or a name that the ledger knows
 * @returns the id of the server that Nova showed the caller; undefined when the instance is none of Nova's, or there is no
 *   Nova.
 * @throws ServiceError `instance-not-found` for what Nova does not show the caller, `instance-not-ready` for what no agent
 *   reports, `not-authenticated`, `unavailable`
 */
export async function lookUpServer(
  deps: ConductorDeps,
  caller: Caller,
  instance: string,
): Promise<string | undefined> {
  const nova = deps.openstack?.nova;
  if (nova === undefined) return undefined;
  const [known, other] = await findInstancesOfNova(deps.db, {
    ...(isUuid(instance) ? { id: instance } : { name: instance }),
    visible: instancesInScope(scopeOf(caller)),
  });
  const isNone = known === undefined ? !isUuid(instance) : known.hypervisor !== novaHypervisor;
  if (isNone || other !== undefined) return undefined;
  const id = known?.id ?? instance;
  const server = await askTwice(nova, { caller, id, instance });
  await noteServers(deps, [{ instanceId: id, server }]);
  if (known === undefined) throw notReported(server);
  return id;
}

interface Question {
  readonly caller: Caller;
  readonly id: string;
  /** As the caller wrote it. */
  readonly instance: string;
}

async function askTwice(nova: NovaClient, question: Question): Promise<NovaServer> {
  const { caller, id, instance } = question;
  const timeoutMs = novaLimits.lookUpMs;
  const [seen, server] = await Promise.all([
    caller.token === undefined
      ? undefined
      : ask(
          () => nova.getServer(id, { userToken: caller.token?.reveal(), timeoutMs }),
          (error) => refusalOf(error, instance),
        ),
    ask(
      () => nova.getServer(id, { timeoutMs }),
      () => undefined,
    ),
  ]);
  if (server === undefined) throw notFound(instance);
  const isVisible =
    caller.token === undefined
      ? isAdmin(caller) || server.projectId === caller.projectId
      : seen !== undefined;
  if (!isVisible) throw notFound(instance);
  return server;
}

async function ask(
  get: () => Promise<NovaServer | undefined>,
  refusal: (error: OpenStackError) => ServiceError | undefined,
): Promise<NovaServer | undefined> {
  try {
    return await get();
  } catch (error) {
    if (!(error instanceof OpenStackError)) throw error;
    throw refusal(error) ?? unavailable(error);
  }
}

function refusalOf(error: OpenStackError, instance: string): ServiceError | undefined {
  if (isAnswer(error, 403) || isAnswer(error, 400)) return notFound(instance);
  if (!isAnswer(error, 401)) return undefined;
  return new ServiceError(
    'not-authenticated',
    'Nova does not take this token any more: get a new one from Keystone and try again.',
  );
}

function notFound(instance: string): ServiceError {
  return new ServiceError(
    'instance-not-found',
    `There is no instance "${instance}": Nova shows you no such server ("openstack server list" shows yours).`,
    { extra: { nearest: [] } },
  );
}

function unavailable(error: OpenStackError): ServiceError {
  const what = isOutage(error) ? 'does not answer now' : 'does not answer as it should';
  return new ServiceError(
    'unavailable',
    `Nova ${what}, and only it knows whether you may give this server something: try again.`,
    {
      internal: error.message,
      cause: error,
      extra: { retry_after_seconds: retryAfterSeconds },
    },
  );
}

/** Where it is, is for admins to know. */
function notReported({ name, status }: NovaServer): ServiceError {
  const way = wayToAttach(status);
  return new ServiceError(
    'instance-not-ready',
    way === undefined
      ? `No host of Cyborg reports server ${name}: try again in a moment if it has just started; otherwise its host needs a Cyborg agent (--hypervisor libvirt), which an admin can start.`
      : `Server ${name} is ${status} in Nova: ${way}, then attach.`,
    way === undefined ? { extra: { retry_after_seconds: retryAfterSeconds } } : {},
  );
}

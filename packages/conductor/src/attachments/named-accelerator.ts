/** Accelerators go by id; people may use the name that only one has on the instance's host. */
import { ServiceError } from '@cyborg/model/errors';
import { isUuid } from '@cyborg/model/ids';
import { nearest, nearestHint } from '@cyborg/model/nearest';
import { listNamedAccelerators, type NamedAccelerator } from '@cyborg/store/named-accelerators';
import { sql, type SqlBool } from 'kysely';

import type { Db } from '../deps.ts';
import { acceleratorsInScope } from '../scope.ts';
import type { AttachContext } from './attach-context.ts';

/** For "did you mean", and for saying where else the name is. */
const namesReadMax = 1000;
const placesToldMax = 5;

/** Ids are written in small letters; people paste them in capitals, too. */
export function toAcceleratorId(idOrName: string): string | undefined {
  const lower = idOrName.toLowerCase();
  return isUuid(lower) ? lower : undefined;
}

/**
 * The id of what may be attached to the instance: whatever its host has, also what the caller could not list.
 *
 * Of several, one that is not there does not count beside one that is: it was in this port before.
 *
 * @throws ServiceError `accelerator-not-found`, saying on which host the name is; `choice-needed` when several have it.
 */
export async function findAcceleratorForAttach(
  db: Db,
  idOrName: string,
  context: AttachContext,
): Promise<string> {
  const id = toAcceleratorId(idOrName);
  if (id !== undefined) return id;
  const all = await listNamedAccelerators(db, {
    where: sql<SqlBool>`accelerator.host_id = ${context.hostId} and accelerator.name = ${idOrName}`,
    limit: namesReadMax,
  });
  const present = all.filter(({ presence }) => presence === 'present');
  const named = present.length > 0 ? present : all;
  const [first, second] = named;
  if (first === undefined) throw await notOnHost(db, idOrName, context);
  if (second !== undefined) throw ambiguous(idOrName, named, context);
  return first.id;
}

function ambiguous(
  name: string,
  named: readonly NamedAccelerator[],
  { host }: AttachContext,
): ServiceError {
  const ids = named.map(({ id, backend }) => `${id} of backend ${backend}`).slice(0, placesToldMax);
  const rest = named.length > ids.length ? ', …' : '';
  return new ServiceError(
    'choice-needed',
    `${named.length} accelerators on host ${host} are called "${name}": choose one by id (${ids.join(', ')}${rest}).`,
    {
      extra: {
        choices: named.map((one) => ({
          backend: `${one.host}@${one.backend}`,
          accelerators: [{ id: one.id, name: one.name }],
        })),
      },
    },
  );
}

async function notOnHost(db: Db, name: string, context: AttachContext): Promise<ServiceError> {
  const elsewhere = await listNamedAccelerators(db, {
    where: sql<SqlBool>`accelerator.name = ${name} and ${acceleratorsInScope(context.scope)}`,
    limit: placesToldMax,
  });
  const onHost = await listNamedAccelerators(db, {
    where: sql<SqlBool>`accelerator.host_id = ${context.hostId}`,
    limit: namesReadMax,
  });
  const names = [...new Set(onHost.map((one) => one.name))];
  const hint = nearestHint(name, names, 'that host has no accelerators');
  return new ServiceError(
    'accelerator-not-found',
    `${whereItIs(name, elsewhere, context)}; ${hint}.`,
    { extra: { nearest: nearest(name, names) } },
  );
}

function whereItIs(
  name: string,
  elsewhere: readonly NamedAccelerator[],
  { host, instance }: AttachContext,
): string {
  const hosts = [...new Set(elsewhere.map((one) => one.host))];
  return hosts.length === 0
    ? `There is no accelerator "${name}" on host ${host}, where instance ${instance.name} is`
    : `Accelerator "${name}" is on host ${hosts.join(' and ')}, and instance ${instance.name} on host ${host}`;
}

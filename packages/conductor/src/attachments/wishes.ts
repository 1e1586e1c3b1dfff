/** What a request asks for, as wishes that accelerators can be held against. */
import { ServiceError } from '@cyborg/model/errors';
import { nearest, nearestHint } from '@cyborg/model/nearest';
import { driverIds, listKinds, type KindRow } from '@cyborg/store/candidates';

import type { Db } from '../deps.ts';
import { findProfile } from '../profiles/find-profile.ts';
import { readGroup } from '../profiles/grammar.ts';
import type { AttachContext } from './attach-context.ts';
import { fits, type Wish } from './fitting.ts';
import { findAcceleratorForAttach } from './named-accelerator.ts';

export interface AttachBody {
  /** Id, or a name that is unique on the instance's host. */
  readonly accelerator?: string | undefined;
  readonly profile?: string | undefined;
  readonly driver?: string | undefined;
  readonly count?: number | undefined;
}

export interface Wishes {
  readonly wishes: readonly Wish[];
  readonly profileId: string | null;
  /** The request in words, for refusals. */
  readonly asked: string;
}

/** As in the API. */
const acceleratorsPerRequestMax = 64;

/** @throws ServiceError `invalid-input`, `accelerator-not-found`, `profile-not-found` or `choice-needed`. */
export async function readWishes(
  db: Db,
  body: AttachBody,
  context: AttachContext,
): Promise<Wishes> {
  const { accelerator, profile, driver, count = 1 } = body;
  const chosen = Object.entries({ accelerator, profile, driver }).filter(
    ([, value]) => value !== undefined,
  );
  if (chosen.length > 1) {
    throw new ServiceError(
      'invalid-input',
      `Give one of accelerator, profile and driver, not ${chosen.map(([name]) => name).join(' and ')}.`,
    );
  }
  if (accelerator !== undefined) return byAccelerator(db, { accelerator, count }, context);
  if (profile !== undefined) return byProfile(db, profile, count);
  if (driver !== undefined) return byDriver(driver, count);
  return byOnlyKind(db, count, context);
}

async function byAccelerator(
  db: Db,
  { accelerator, count }: { readonly accelerator: string; readonly count: number },
  context: AttachContext,
): Promise<Wishes> {
  if (count !== 1) {
    throw new ServiceError(
      'invalid-input',
      `count: ${count} of one accelerator is not possible; leave count out.`,
    );
  }
  const acceleratorId = await findAcceleratorForAttach(db, accelerator, context);
  return {
    wishes: [{ count, acceleratorId }],
    profileId: null,
    asked: `accelerator ${accelerator}`,
  };
}

/** Whether the driver exists is asked only when nothing of it is free. */
function byDriver(driverId: string, count: number): Wishes {
  return {
    wishes: [{ count, driverId }],
    profileId: null,
    asked: `${count} of driver ${driverId}`,
  };
}

/** @throws ServiceError `driver-not-found`, with the nearest ids. */
export async function checkDriverExists(db: Db, driverId: string): Promise<void> {
  const known = await driverIds(db);
  if (known.includes(driverId)) return;
  const hint = nearestHint(driverId, known, 'there is none yet');
  throw new ServiceError('driver-not-found', `There is no driver "${driverId}"; ${hint}.`, {
    extra: { nearest: nearest(driverId, known) },
  });
}

async function byProfile(db: Db, idOrName: string, count: number): Promise<Wishes> {
  const profile = await findProfile(db, idOrName);
  const wishes = profile.groups.flatMap((group, profileGroup) => {
    const request = readGroup(group);
    refuseProgramming(profile.name, request.accel);
    const traits = { required: request.required, forbidden: request.forbidden };
    return request.resources
      .filter((resource) => resource.count > 0)
      .map(({ resourceClass, count: units }) => ({
        count: units * count,
        resourceClass,
        traits,
        profileGroup,
      }));
  });
  const total = wishes.reduce((sum, wish) => sum + wish.count, 0);
  if (total === 0 || total > acceleratorsPerRequestMax) {
    throw new ServiceError(
      'invalid-input',
      `profile: "${profile.name}" asks for ${total} accelerators (times count); one request may take 1 to ${acceleratorsPerRequestMax}.`,
    );
  }
  return { wishes, profileId: profile.id, asked: `what profile ${profile.name} asks for` };
}

function refuseProgramming(name: string, accel: Readonly<Record<string, string>>): void {
  const key = ['bitstream_id', 'function_id'].find((one) => accel[one] !== undefined);
  if (key === undefined) return;
  throw new ServiceError(
    'invalid-input',
    `profile: "${name}" asks for programming (accel:${key}), which an attach to a running instance does not do; use a profile without it.`,
  );
}

/** Bare: one of the only kind that is free on the host. */
async function byOnlyKind(db: Db, count: number, context: AttachContext): Promise<Wishes> {
  const kinds = await listKinds(db, fits({ count }, context));
  const names = [...new Set(kinds.map(kindName))];
  if (names.length > 1) throw choiceNeeded(kinds, names);
  const [kind] = kinds;
  const wish = kind === undefined ? {} : { driverId: kind.driver_id, type: kind.type };
  return {
    wishes: [{ count, ...wish }],
    profileId: null,
    asked: kind === undefined ? `${count} of any kind` : `${count} of ${kindName(kind)}`,
  };
}

function kindName(kind: KindRow): string {
  return `${kind.driver_id} ${kind.type}`;
}

function choiceNeeded(kinds: readonly KindRow[], names: readonly string[]): ServiceError {
  return new ServiceError(
    'choice-needed',
    `More than one kind is free on the instance's host (${names.join(', ')}): choose with --accelerator, --driver or --profile.`,
    { extra: { choices: kinds.map((kind) => ({ ...kind })) } },
  );
}

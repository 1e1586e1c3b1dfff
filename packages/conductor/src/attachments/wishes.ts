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
  /** Several by name, for what goes only together. */
  readonly accelerators?: readonly string[] | undefined;
  readonly count?: number | undefined;
  /** What each of them must have. */
  readonly traits?: readonly string[] | undefined;
  readonly numa_node?: number | undefined;
  /** All under one PCIe root port. */
  readonly same_root?: boolean | undefined;
}

export interface Wishes {
  readonly wishes: readonly Wish[];
  readonly profileId: string | null;
  /** All are to be under one PCIe root. */
  readonly isSameRoot: boolean;
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
  const { accelerator, accelerators, profile, driver } = body;
  const chosen = Object.entries({ accelerator, accelerators, profile, driver }).filter(
    ([, value]) => value !== undefined,
  );
  if (chosen.length > 1) {
    throw new ServiceError(
      'invalid-input',
      `Give one of accelerator, accelerators, profile and driver, not ${chosen.map(([name]) => name).join(' and ')}.`,
    );
  }
  const asked = await readChoice(db, body, context);
  const total = asked.wishes.reduce((sum, { count }) => sum + count, 0);
  // One is always under one root.
  const isSameRoot = body.same_root === true && total > 1;
  return {
    ...asked,
    isSameRoot,
    wishes: asked.wishes.map((wish) => narrowed(wish, body, isSameRoot)),
    asked: [asked.asked, ...narrowings(body, isSameRoot)].join(', '),
  };
}

type Choice = Omit<Wishes, 'isSameRoot'>;

function readChoice(db: Db, body: AttachBody, context: AttachContext): Promise<Choice> {
  const { accelerator, accelerators, profile, driver, count = 1 } = body;
  const named = accelerators ?? (accelerator === undefined ? undefined : [accelerator]);
  if (named !== undefined) return byAccelerator(db, { named, count: body.count }, context);
  if (profile !== undefined) return byProfile(db, profile, count);
  if (driver !== undefined) return Promise.resolve(byDriver(driver, count));
  return byOnlyKind(db, { count, body }, context);
}

/** The same wish of what also has these traits, this node, a known root. */
function narrowed(wish: Wish, { traits = [], numa_node }: AttachBody, needsRoot: boolean): Wish {
  const { required = [], forbidden = [] } = wish.traits ?? {};
  return {
    ...wish,
    ...(traits.length > 0 && {
      traits: { required: [...new Set([...required, ...traits])], forbidden },
    }),
    ...(numa_node !== undefined && { numaNode: numa_node }),
    ...(needsRoot && { needsRoot }),
  };
}

function narrowings({ traits = [], numa_node }: AttachBody, isSameRoot: boolean): string[] {
  return [
    ...(traits.length > 0 ? [`with ${traits.join(' and ')}`] : []),
    ...(numa_node === undefined ? [] : [`on NUMA node ${numa_node}`]),
    ...(isSameRoot ? ['under one PCIe root'] : []),
  ];
}

async function byAccelerator(
  db: Db,
  { named, count }: { readonly named: readonly string[]; readonly count: number | undefined },
  context: AttachContext,
): Promise<Choice> {
  if (count !== undefined && count !== named.length) {
    throw new ServiceError(
      'invalid-input',
      named.length === 1
        ? `count: ${count} of one accelerator is not possible; leave count out.`
        : `count: ${named.length} accelerators are named, not ${count}; leave count out.`,
    );
  }
  const wishes: Wish[] = [];
  for (const name of named) {
    const acceleratorId = await findAcceleratorForAttach(db, name, context);
    if (wishes.some((wish) => wish.acceleratorId === acceleratorId)) {
      throw new ServiceError(
        'invalid-input',
        `accelerators: ${name} is named twice; once is enough.`,
      );
    }
    wishes.push({ count: 1, acceleratorId });
  }
  const asked = named.length === 1 ? `accelerator ${named[0]}` : `accelerators ${named.join(', ')}`;
  return { wishes, profileId: null, asked };
}

/** Whether the driver exists is asked only when nothing of it is free. */
function byDriver(driverId: string, count: number): Choice {
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

async function byProfile(db: Db, idOrName: string, count: number): Promise<Choice> {
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
async function byOnlyKind(
  db: Db,
  { count, body }: { readonly count: number; readonly body: AttachBody },
  context: AttachContext,
): Promise<Choice> {
  const kinds = await listKinds(db, fits(narrowed({ count }, body, false), context));
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

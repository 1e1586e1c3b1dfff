/** Binds whose profile wants a program image in the card first (`accel:bitstream_id`, `accel:function_id`). */
import type { Caller } from '@cyborg/model/caller';
import { V2Fault } from '@cyborg/model/v2/fault';
import { toUuid } from '@cyborg/model/v2/uuid';
import {
  findArqBind,
  insertArqBind,
  listArqPrograms,
  listProviderDeployables,
  lockArqBind,
  lockDeployable,
  updateArqBind,
  type ArqBindRow,
  type DeployableRow,
} from '@cyborg/store/programs';

import type { ConductorDeps } from '../../deps.ts';
import type { Draft } from '../../orders/draft.ts';
import { beginProgramming, findHindrance, type ProgramImage } from '../../programs/begin.ts';
import { resolveImage, type WantedImage } from '../../programs/resolve-image.ts';
import { act } from '../../transaction.ts';
import { makeWaiter } from '../../waiter.ts';
import { BindShortage, type BindStep } from './bind-arqs.ts';
import type { Binding } from './parse-patch.ts';
import { arqScopeOf } from './visible.ts';

/** By the request's id; most binds have none. */
export type WantedPrograms = ReadonlyMap<string, WantedProgram>;

export interface WantedProgram extends ProgramImage {
  /** In Glance; otherwise the card seems to have it, and nothing more is known of it. */
  readonly isLookedUp: boolean;
}

interface ProgramSearch {
  /** Of another project's requests nothing is said, and no image is looked for. */
  readonly caller: Caller;
  readonly signal: AbortSignal;
  readonly looksUpAll: boolean;
}

/**
 * Outside of the bind's transaction: Glance is asked, unless the card is known to have the image.
 *
 * @throws V2Fault; nothing has changed then.
 */
export async function findPrograms(
  deps: ConductorDeps,
  bindings: readonly Binding[],
  { caller, signal, looksUpAll }: ProgramSearch,
): Promise<WantedPrograms> {
  const ids = bindings.flatMap(({ arq }) => toUuid(arq) ?? []);
  if (ids.length === 0) return new Map();
  const found = new Map<string, WantedProgram>();
  const resolved = new Map<string, WantedProgram>();
  for (const { id, bitstream_id, function_id } of await listArqPrograms(deps.db, {
    ids,
    ...arqScopeOf(caller),
  })) {
    const wanted = wantedOf(bitstream_id, function_id);
    const key = `${wanted.by} ${wanted.id}`;
    const binding = bindings.find(({ arq }) => toUuid(arq) === id);
    const isThere = !looksUpAll && (await hasImage(deps, binding, wanted));
    const image = isThere
      ? knownImage(wanted.id)
      : (resolved.get(key) ?? {
          ...(await resolveImage(deps, wanted, signal)),
          isLookedUp: true,
        });
    if (image.isLookedUp) resolved.set(key, image);
    found.set(id, image);
  }
  return found;
}

function wantedOf(bitstreamId: string | null, functionId: string | null): WantedImage {
  if (bitstreamId !== null && functionId !== null) {
    throw new V2Fault(
      400,
      `Invalid parameters: accel:bitstream_id ${bitstreamId} and accel:function_id ${functionId} exclude each other: take one from the device profile.`,
    );
  }
  if (functionId !== null) return { by: 'function', id: functionId };
  const id = toUuid(bitstreamId ?? '');
  if (id !== undefined) return { by: 'image', id };
  throw new V2Fault(400, `accel:bitstream_id must be an image's uuid, and is ${bitstreamId}.`);
}

/** A look only: what is in the card is looked at again under its lock. */
async function hasImage(
  { db }: ConductorDeps,
  binding: Binding | undefined,
  { by, id }: WantedImage,
): Promise<boolean> {
  const rpUuid = toUuid(binding?.rpUuid ?? '');
  if (by === 'function' || rpUuid === undefined) return false;
  const [deployable] = await listProviderDeployables(db, [rpUuid]);
  return deployable?.bitstream_id === id;
}

/** Of an image that is in the card already, nothing more has to be known. */
function knownImage(imageId: string): WantedProgram {
  return { imageId, name: imageId, functionId: null, stagedImageId: null, isLookedUp: false };
}

/** What has to be written before the bind is done. */
export interface NeededProgram {
  readonly deployable: DeployableRow;
  readonly image: ProgramImage;
}

/** The card had the image a moment ago, and has another one now: to be looked up after all. */
export class CardChanged extends Error {
  override readonly name = 'CardChanged';
}

/**
 * Locks the deployables, which are then idle until the act's end.
 *
 * @throws V2Fault 400 when two images are wanted in one card, 409 when it cannot be written now
 * @throws CardChanged
 * @throws BindShortage while it is being cleaned, or another image is written
 */
export async function lockPrograms(
  { act: { tx } }: Draft,
  steps: readonly BindStep[],
  programs: WantedPrograms,
): Promise<NeededProgram[]> {
  const needed: NeededProgram[] = [];
  const byProvider = Map.groupBy(
    steps.filter(({ row }) => programs.has(row.id)),
    ({ rpUuid }) => toUuid(rpUuid) ?? '',
  );
  for (const [rpUuid, own] of [...byProvider].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const images = own.flatMap(({ row }) => programs.get(row.id) ?? []);
    const [image] = images;
    const [found] = rpUuid === '' ? [] : await listProviderDeployables(tx, [rpUuid]);
    if (image === undefined || found === undefined) continue; // the pick says so
    const other = images.find(({ imageId }) => imageId !== image.imageId);
    if (other !== undefined) {
      throw new V2Fault(
        400,
        `Deployable ${found.name} cannot have image ${image.imageId} and image ${other.imageId} at once.`,
      );
    }
    const locked = await lockDeployable(tx, found.id);
    if (locked === undefined || locked.deployable.bitstream_id === image.imageId) continue;
    const lookedUp = images.find(({ isLookedUp }) => isLookedUp);
    if (lookedUp === undefined) throw new CardChanged('the card has another image by now');
    checkIdle(locked);
    needed.push({ deployable: locked.deployable, image: lookedUp });
  }
  return needed;
}

function checkIdle({
  deployable,
  accelerators,
}: NonNullable<Awaited<ReturnType<typeof lockDeployable>>>): void {
  const hindrance = findHindrance(accelerators);
  if (hindrance === undefined) return;
  const fault = new V2Fault(
    409,
    `Deployable ${deployable.name} cannot be programmed now: ${hindrance.reason}.`,
  );
  if (hindrance.mayPass) throw new BindShortage(fault, true);
  throw fault;
}

export interface Beginning {
  readonly needed: readonly NeededProgram[];
  readonly steps: readonly BindStep[];
  readonly bindId: string;
  readonly heldUntil: Date;
}

/** After the picks: accelerators that the bind keeps are reserved for it. */
export async function beginPrograms(
  draft: Draft,
  deps: ConductorDeps,
  { needed, steps, bindId, heldUntil }: Beginning,
): Promise<void> {
  const { tx, now } = draft.act;
  await insertArqBind(tx, { id: bindId, held_until: heldUntil, created_at: now });
  for (const { deployable, image } of needed) {
    // Those that are not kept by the bind are out meanwhile, too.
    const locked = await lockDeployable(tx, deployable.id);
    for (const row of locked?.accelerators ?? []) {
      if (!draft.accelerators.has(row.id)) draft.accelerators.set(row.id, row);
    }
    const [first] = steps;
    const by = { userId: draft.userId ?? '', projectId: first?.projectId ?? '' };
    await beginProgramming(draft, deps, { deployable, image, bindId, operationId: null, by });
  }
}

/**
 * Holds the PATCH until its requests are bound; at the latest until its time is over: from then on Nova is told.
 *
 * @throws V2Fault 500 when an image could not be written
 */
export async function awaitBind(
  deps: ConductorDeps,
  bindId: string,
  until: AbortSignal,
): Promise<void> {
  using waiter = makeWaiter(deps, 'programs');
  for (;;) {
    if (isBound(await findArqBind(deps.db, bindId))) return;
    if (until.aborted) break;
    await waiter.wait(until);
  }
  const last = await act(deps, async ({ tx }) => {
    const bind = await lockArqBind(tx, bindId);
    if (bind?.state === 'started') await updateArqBind(tx, bindId, { is_held: false });
    return bind;
  });
  isBound(last);
}

function isBound(bind: ArqBindRow | undefined): boolean {
  if (bind?.state !== 'failed') return bind?.state === 'bound';
  throw new V2Fault(500, `FPGA programming failed with return ${bind.reason ?? 'no reason'}`);
}

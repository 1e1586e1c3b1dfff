/** Fetches from Glance what programmings wait for; then their hosts hear of them. */
import { isOutage, OpenStackError } from '@cyborg/openstack/errors';
import { V2Fault } from '@cyborg/model/v2/fault';
import { backoffMs } from '@cyborg/service/backoff';
import {
  claimStaging,
  hasStaging,
  lockProgramming,
  renewStaging,
  updateProgramming,
  type ProgrammingRow,
} from '@cyborg/store/programs';
import { findStagedImage } from '@cyborg/store/staged-images';

import type { ConductorDeps } from '../deps.ts';
import type { Reconciler } from '../reconciler.ts';
import { act } from '../transaction.ts';
import { makeWaiter, type Waiter } from '../waiter.ts';
import { endProgramming } from './end.ts';
import { checkDigest, stageImage, StagingRefused } from './stage-image.ts';

/** Another conductor has it, or it has ended. */
class NotOursAnyMore extends Error {
  override readonly name = 'NotOursAnyMore';
}

/** A pass lasts as long as anything is being fetched, and takes up what comes meanwhile: none waits for a slow one. */
export function fetchImages(deps: ConductorDeps): Reconciler {
  return {
    name: 'fetch-program-images',
    periodMs: deps.limits.idlePassMs,
    due: hasStaging,
    topics: ['programs'],
    async pass(signal) {
      using waiter = makeWaiter(deps, 'programs');
      const running = new Set<Promise<void>>();
      let found = 0;
      do {
        const rows = signal.aborted ? [] : await claim(deps, running.size);
        found += rows.length;
        for (const row of rows) {
          const job = fetchOne(deps, row, signal).finally(() => running.delete(job));
          running.add(job);
        }
        if (running.size > 0) await oneEndsOrComes(running, waiter, signal);
      } while (running.size > 0);
      return { found, full: false };
    },
  };
}

function claim(deps: ConductorDeps, running: number): Promise<ProgrammingRow[]> {
  const limit = deps.limits.stagingsAtOnceMax - running;
  if (limit <= 0) return Promise.resolve([]);
  const now = deps.clock.now();
  return claimStaging(deps.db, {
    replicaId: deps.replicaId,
    now,
    expiresAt: claimEnd(deps),
    limit,
  });
}

function claimEnd({ clock, limits }: ConductorDeps): Date {
  return new Date(clock.now().getTime() + limits.claimSeconds * 1000);
}

async function oneEndsOrComes(
  running: ReadonlySet<Promise<void>>,
  waiter: Waiter,
  signal: AbortSignal,
): Promise<void> {
  if (signal.aborted) return void (await Promise.all(running));
  const done = new AbortController();
  await Promise.race([...running, waiter.wait(AbortSignal.any([signal, done.signal]))]);
  done.abort();
}

/** Never throws: what went wrong is in the row. */
async function fetchOne(
  deps: ConductorDeps,
  row: ProgrammingRow,
  signal: AbortSignal,
): Promise<void> {
  const lost = new AbortController();
  using _renewal = keepClaim(deps, row, lost);
  try {
    const stagedId = await staged(deps, row, AbortSignal.any([signal, lost.signal]));
    await handOver(deps, row.id, stagedId);
  } catch (error) {
    if (signal.aborted || lost.signal.aborted) return;
    await noteFailure(deps, row, error).catch((cause: unknown) => {
      deps.log.warn({ err: cause, programming: row.id }, 'a failed fetch was not noted');
    });
  }
}

/** Renewed while Glance is silent, too. */
function keepClaim(deps: ConductorDeps, { id }: ProgrammingRow, lost: AbortController): Disposable {
  const everyMs = (deps.limits.claimSeconds * 1000) / 4;
  let timer: Disposable | undefined;
  let isOver = false;
  const renew = async (): Promise<void> => {
    const given = { id, replicaId: deps.replicaId, expiresAt: claimEnd(deps) };
    const isOurs = await renewStaging(deps.db, given).catch(() => true); // tried again; it runs out by itself
    if (!isOurs) lost.abort(new NotOursAnyMore('another conductor fetches it'));
    else if (!isOver) arm();
  };
  const arm = (): void => {
    timer = deps.clock.setTimer(everyMs, () => void renew());
  };
  arm();
  return {
    [Symbol.dispose]() {
      isOver = true;
      timer?.[Symbol.dispose]();
    },
  };
}

async function staged(
  deps: ConductorDeps,
  row: ProgrammingRow,
  signal: AbortSignal,
): Promise<string> {
  const { image_id: imageId, image_name: name } = row;
  const glance = deps.openstack?.glance;
  if (imageId === null || glance === undefined) {
    throw new V2Fault(503, `Image ${name} cannot be fetched: this server has no Glance.`);
  }
  const known = await findStagedImage(deps.db, imageId);
  const wanted = row.sha256;
  if (known !== undefined && known.sha256 !== null) {
    if (wanted !== null) checkDigest(name, { sha256: known.sha256, wanted });
    return known.id;
  }
  const image = await glance.getImage(imageId, { signal });
  if (image === undefined) throw new StagingRefused(`Image ${imageId} is no longer in Glance.`);
  const made = await stageImage(deps, {
    imageId,
    name,
    bytes: glance.download(image, { signal }),
    mayGoOn: () => Promise.resolve(signal.throwIfAborted()),
    ...(wanted !== null && { sha256: wanted }),
  });
  return made.id;
}

async function handOver(deps: ConductorDeps, id: string, stagedId: string): Promise<void> {
  await act(deps, async ({ tx, now, wakeUps }) => {
    const row = await lockProgramming(tx, id);
    if (row?.state !== 'staging' || row.claimed_by !== deps.replicaId) return;
    await updateProgramming(tx, id, {
      state: 'writing',
      staged_image_id: stagedId,
      reason: null,
      claimed_by: null,
      claim_expires_at: null,
      updated_at: now,
    });
    wakeUps.add(`host:${row.host_id}`);
  });
}

async function noteFailure(
  deps: ConductorDeps,
  row: ProgrammingRow,
  error: unknown,
): Promise<void> {
  const reason = error instanceof Error ? error.message : String(error);
  if (!mayPass(error)) {
    const end = { is: 'failed', reason, wasBegun: false } as const;
    return endProgramming(deps, row.id, ({ state }) => (state === 'staging' ? end : undefined));
  }
  deps.log.warn({ programming: row.id, reason }, 'an image was not fetched; trying again');
  const bounds = { firstMs: deps.limits.stagingRetryFirstMs, maxMs: deps.limits.stagingRetryMaxMs };
  const pauseMs = backoffMs(row.attempts + 1, bounds, deps.rng);
  const now = deps.clock.now();
  await updateProgramming(deps.db, row.id, {
    attempts: row.attempts + 1,
    reason,
    next_attempt_at: new Date(now.getTime() + pauseMs),
    claimed_by: null,
    claim_expires_at: null,
    updated_at: now,
  });
}

/** Until the programming's own deadline: an outage, or trouble of ours. What Glance says of the image stays so. */
function mayPass(error: unknown): boolean {
  if (error instanceof StagingRefused || error instanceof V2Fault) return false;
  return isOutage(error) || !(error instanceof OpenStackError);
}

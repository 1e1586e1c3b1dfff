/** What hosts found and the ledger does not know: an operator adopts it or has it released; nobody else touches it. */
import type { Caller } from '@cyborg/model/caller';
import {
  listUnclaimed,
  lockUnclaimed,
  orderUnclaimedRelease,
  type UnclaimedRow,
} from '@cyborg/store/unclaimed';

import type { AttachmentView } from '../attachments/view.ts';
import type { ConductorDeps } from '../deps.ts';
import { checkFilters } from '../backends/check-filters.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import type { DryRunQuery, Handler, Input } from '../handler.ts';
import { actOnce } from '../idempotency.ts';
import { changesOf } from '../orders/draft.ts';
import { idFromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import { adopt, planAdoption } from './adopt.ts';
import { unclaimedNotFound } from './not-found.ts';

export interface UnclaimedView {
  readonly id: string;
  readonly host: string;
  readonly instance_id: string;
  readonly device_name: string;
  readonly accelerator_id: string | null;
  readonly accelerator_name: string | null;
  readonly address: string | null;
  readonly ordered: 'release' | null;
  readonly reason: string | null;
  readonly first_seen_at: Date;
}

type ById = { readonly id: string };

type ReleaseInput = Input<ById, DryRunQuery>;
type AdoptInput = Input<ById, DryRunQuery, { readonly accelerator?: string | undefined }>;

export interface UnclaimedHandlers {
  readonly listUnclaimed: Handler<
    Input<object, PageQuery & { readonly host?: string }>,
    Page<UnclaimedView>
  >;
  readonly releaseUnclaimed: Handler<ReleaseInput, UnclaimedView | DryRunView>;
  readonly adoptUnclaimed: Handler<AdoptInput, AttachmentView | DryRunView>;
}

export function makeUnclaimedHandlers(deps: ConductorDeps): UnclaimedHandlers {
  return {
    async listUnclaimed(caller, { query }) {
      await checkFilters(deps.db, caller, { host: query.host });
      const rows = await listUnclaimed(deps.db, {
        host: query.host,
        after: idFromMarker(query.marker),
        limit: rowsWanted(query),
      });
      return toPage(rows, query, { keyOf: (row) => [row.id], toItem: toUnclaimedView });
    },
    releaseUnclaimed: (caller, input) => releaseUnclaimed(deps, caller, input),
    adoptUnclaimed: (caller, input) => adoptUnclaimed(deps, caller, input),
  };
}

async function releaseUnclaimed(
  deps: ConductorDeps,
  caller: Caller,
  { params: { id }, query, idempotencyKey: key }: ReleaseInput,
): Promise<UnclaimedView | DryRunView> {
  if (query.dry_run === true) {
    return dryRun(deps, async ({ tx }) => {
      const row = await lockUnclaimed(tx, id, { withoutLock: true });
      if (row === undefined) throw unclaimedNotFound(id);
      if (row.ordered === 'release') return [];
      const change = `host ${row.host} is ordered to unplug ${row.device_name}`;
      return [{ subject_kind: 'unclaimed', subject_id: id, change }];
    });
  }
  const path = `/v3/unclaimed/${id}/release`;
  return actOnce(deps, { caller, method: 'POST', path, key, body: null }, (current) =>
    release(current, caller, id),
  );
}

async function adoptUnclaimed(
  deps: ConductorDeps,
  caller: Caller,
  { params: { id }, query, body, idempotencyKey: key }: AdoptInput,
): Promise<AttachmentView | DryRunView> {
  const adoption = { caller, unclaimedId: id, acceleratorId: body.accelerator };
  if (query.dry_run === true) {
    return dryRun(deps, async (current) => {
      const { draft } = await planAdoption(current, deps, { ...adoption, withoutLock: true });
      return changesOf(draft);
    });
  }
  const path = `/v3/unclaimed/${id}/adopt`;
  return actOnce(deps, { caller, method: 'POST', path, key, body }, (current) =>
    adopt(current, deps, adoption),
  );
}

async function release(current: Act, caller: Caller, id: string): Promise<UnclaimedView> {
  const row = await lockUnclaimed(current.tx, id);
  if (row === undefined) throw unclaimedNotFound(id);
  if (row.ordered === 'release') return toUnclaimedView(row);
  await orderUnclaimedRelease(current.tx, { id, now: current.now });
  current.wakeUps.add(`host:${row.host_id}`);
  await recordEvents(current, [
    {
      kind: 'unclaimed.release-ordered',
      subjectKind: 'unclaimed',
      subjectId: id,
      hostId: row.host_id,
      userId: caller.userId,
      data: { instance_id: row.instance_id, device_name: row.device_name },
    },
  ]);
  return toUnclaimedView({ ...row, ordered: 'release' });
}

function toUnclaimedView(row: UnclaimedRow): UnclaimedView {
  const { id, host, instance_id, device_name, address, ordered, reason, first_seen_at } = row;
  const known = { accelerator_id: row.known_id, accelerator_name: row.known_name, address };
  return { id, host, instance_id, device_name, ...known, ordered, reason, first_seen_at };
}

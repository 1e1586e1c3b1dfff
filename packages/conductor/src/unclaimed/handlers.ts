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
import type { Handler, Input } from '../handler.ts';
import { idFromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { recordEvents } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';
import { adopt } from './adopt.ts';
import { unclaimedNotFound } from './not-found.ts';

export interface UnclaimedView {
  readonly id: string;
  readonly host: string;
  readonly instance_id: string;
  readonly device_name: string;
  readonly ordered: 'release' | null;
  readonly first_seen_at: Date;
}

type ById = { readonly id: string };

export interface UnclaimedHandlers {
  readonly listUnclaimed: Handler<
    Input<object, PageQuery & { readonly host?: string }>,
    Page<UnclaimedView>
  >;
  readonly releaseUnclaimed: Handler<Input<ById>, UnclaimedView>;
  readonly adoptUnclaimed: Handler<
    Input<ById, object, { readonly accelerator: string }>,
    AttachmentView
  >;
}

export function makeUnclaimedHandlers(deps: ConductorDeps): UnclaimedHandlers {
  return {
    async listUnclaimed(_caller, { query }) {
      const rows = await listUnclaimed(deps.db, {
        host: query.host,
        after: idFromMarker(query.marker),
        limit: rowsWanted(query),
      });
      return toPage(rows, query, { keyOf: (row) => [row.id], toItem: toUnclaimedView });
    },
    releaseUnclaimed: (caller, { params }) =>
      act(deps, (current) => release(current, caller, params.id)),
    adoptUnclaimed: (caller, { params, body }) =>
      act(deps, (current) =>
        adopt(current, deps, { caller, unclaimedId: params.id, acceleratorId: body.accelerator }),
      ),
  };
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
  const { id, host, instance_id, device_name, ordered, first_seen_at } = row;
  return { id, host, instance_id, device_name, ordered, first_seen_at };
}

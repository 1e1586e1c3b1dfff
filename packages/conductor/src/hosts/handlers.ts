import type { Caller } from '@cyborg/model/caller';
import { toJson } from '@cyborg/store/json';
import { sql, type SqlBool } from 'kysely';
import { pageLimit } from '@cyborg/store/page-of-ids';

import { countAccelerators } from '../backends/counts.ts';
import type { ConductorDeps } from '../deps.ts';
import { checkSwitch, type ForceQuery, type Forced } from '../disabling.ts';
import { dryRun, type Change, type DryRunView } from '../dry-run.ts';
import { changedAt, checkIfMatch } from '../etag.ts';
import type { DryRunQuery, Handler, Input } from '../handler.ts';
import { fromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { recordEvents } from '../record-event.ts';
import { hostsInScope, scopeOf } from '../scope.ts';
import { act, type Act } from '../transaction.ts';
import { deleteHost, type DeleteHostInput } from './delete-host.ts';
import { findHost, type HostRow } from './find-host.ts';
import { hostEvent } from './host-event.ts';
import {
  createJoinToken,
  reenrollHost,
  type JoinTokenInput,
  type JoinTokenView,
} from './join-tokens.ts';
import {
  deleteJoinToken,
  listJoinTokens,
  type DeleteJoinTokenInput,
  type ListJoinTokensInput,
  type OpenJoinTokenView,
} from './open-join-tokens.ts';
import { revokeHost } from './revoke-host.ts';
import { toHostView, viewHost, type HostView } from './view.ts';

type HostParams = { readonly host: string };
export interface HostChanges {
  readonly status?: 'enabled' | 'disabled' | undefined;
  readonly reason?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly service_host?: string | null | undefined;
}
type ListInput = Input<object, PageQuery & { readonly state?: 'up' | 'down' | undefined }>;
type UpdateInput = Input<HostParams, ForceQuery, HostChanges>;
export interface HostHandlers {
  readonly listHosts: Handler<ListInput, Page<HostView>>;
  readonly showHost: Handler<Input<HostParams>, HostView>;
  readonly updateHost: Handler<UpdateInput, HostView | DryRunView>;
  readonly deleteHost: Handler<DeleteHostInput, null | DryRunView>;
  readonly revokeHost: Handler<Input<HostParams, DryRunQuery>, HostView | DryRunView>;
  readonly reenrollHost: Handler<Input<HostParams, DryRunQuery>, JoinTokenView | DryRunView>;
  readonly createJoinToken: Handler<JoinTokenInput, JoinTokenView | DryRunView>;
  readonly listJoinTokens: Handler<ListJoinTokensInput, Page<OpenJoinTokenView>>;
  readonly deleteJoinToken: Handler<DeleteJoinTokenInput, null | DryRunView>;
}

/** `forgetCredentials` empties the memory of this process after a revocation. */
export function makeHostHandlers(
  deps: ConductorDeps,
  forgetCredentials: () => void = () => {},
): HostHandlers {
  const { db, clock } = deps;
  return {
    listHosts: (caller, { query }) => listHosts(deps, caller, query),

    async showHost(caller, { params }) {
      const scope = scopeOf(caller);
      return viewHost({ db, scope, now: clock.now() }, await findHost(db, scope, params));
    },

    updateHost: (caller, input) => updateHost(deps, caller, input),

    async deleteHost(caller, input) {
      const answer = await deleteHost(deps, caller, input);
      if (input.query.dry_run !== true) forgetCredentials();
      return answer;
    },
    async revokeHost(caller, input) {
      const view = await revokeHost(deps, caller, input);
      if (input.query.dry_run !== true) forgetCredentials();
      return view;
    },

    async reenrollHost(caller, input) {
      const view = await reenrollHost(deps, caller, input);
      if (input.query.dry_run !== true) forgetCredentials();
      return view;
    },

    createJoinToken: (caller, input) => createJoinToken(deps, caller, input),

    listJoinTokens: (_caller, input) => listJoinTokens(deps, input),

    deleteJoinToken: (caller, input) => deleteJoinToken(deps, caller, input),
  };
}

async function listHosts(
  { db, clock }: ConductorDeps,
  caller: Caller,
  query: ListInput['query'],
): Promise<Page<HostView>> {
  const scope = scopeOf(caller);
  const [after] = fromMarker(query.marker, 1) ?? [];
  let rows = db
    .selectFrom('host')
    .selectAll()
    .where(hostsInScope(scope))
    .orderBy('name')
    .limit(pageLimit(rowsWanted(query)));
  if (after !== undefined) rows = rows.where('name', '>', after);
  if (query.state === 'up') rows = rows.where('lease_expires_at', '>', clock.now());
  if (query.state === 'down') {
    rows = rows.where((eb) =>
      eb.or([eb('lease_expires_at', 'is', null), eb('lease_expires_at', '<=', clock.now())]),
    );
  }
  const found = await rows.execute();
  const ids = found.map(({ id }) => id);
  const countOf = await countAccelerators(db, scope, { by: 'host_id', ids });
  return toPage(found, query, {
    keyOf: ({ name }) => [name],
    toItem: (row) => toHostView(row, clock.now(), countOf(row.id)),
  });
}

async function updateHost(
  deps: ConductorDeps,
  caller: Caller,
  { params, query, body, ifMatch }: UpdateInput,
): Promise<HostView | DryRunView> {
  const read = async (running: Act, isLocked: boolean): Promise<HostRow> => {
    const row = await findHost(running.tx, scopeOf(caller), { ...params, isLocked });
    checkIfMatch(ifMatch, row, `host ${row.name}`);
    return row;
  };
  const check = ({ tx }: Act, { id, name, status: before }: HostRow): Promise<Forced> => {
    const where = sql<SqlBool>`a.host_id = ${id}`;
    return checkSwitch(tx, {
      caller,
      what: `host ${name}`,
      before,
      after: body.status,
      query,
      where,
    });
  };
  if (query.dry_run === true) {
    return dryRun(deps, async (running) => {
      const row = await read(running, false);
      await check(running, row);
      return changesOf(row, body);
    });
  }
  return act(deps, async (running) => {
    const row = await read(running, true);
    const forced = await check(running, row);
    const after = await writeHost(running, row, body);
    await recordEvents(running, [
      hostEvent(row, body.status === undefined ? 'host.updated' : `host.${body.status}`, {
        userId: caller.userId,
        data: { ...body, ...forced },
      }),
    ]);
    running.wakeUps.add('deployments');
    return viewHost({ db: running.tx, scope: scopeOf(caller), now: running.now }, after);
  });
}

function changesOf(row: HostRow, body: HostChanges): Change[] {
  return Object.entries(body).map(([name, value]) => ({
    subject_kind: 'host',
    subject_id: row.id,
    change: `${name} becomes ${JSON.stringify(value)}`,
  }));
}

function writeHost({ tx, now }: Act, row: HostRow, body: HostChanges): Promise<HostRow> {
  const { status, reason, labels, service_host } = body;
  return tx
    .updateTable('host')
    .set({
      ...(status !== undefined && { status, status_reason: reason ?? null }),
      ...(status === undefined && reason !== undefined && { status_reason: reason }),
      ...(labels !== undefined && { labels: toJson(labels) }),
      ...(service_host !== undefined && { service_host }),
      updated_at: changedAt(row, now),
    })
    .where('id', '=', row.id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

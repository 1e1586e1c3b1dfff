import type { Caller } from '@cyborg/model/caller';
import { toJson } from '@cyborg/store/json';

import type { ConductorDeps } from '../deps.ts';
import { dryRun, type Change, type DryRunView } from '../dry-run.ts';
import { changedAt, checkIfMatch } from '../etag.ts';
import type { DryRunQuery, Handler, Input } from '../handler.ts';
import { fromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { recordEvents } from '../record-event.ts';
import { hostsInScope, scopeOf } from '../scope.ts';
import { act, type Act } from '../transaction.ts';
import { findHost, type HostRow } from './find-host.ts';
import { makeJoinToken, type JoinTokenView } from './join-tokens.ts';
import { toHostView, type HostView } from './view.ts';

type HostParams = { readonly host: string };
export interface HostChanges {
  readonly status?: 'enabled' | 'disabled' | undefined;
  readonly reason?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly service_host?: string | null | undefined;
}
type ListInput = Input<object, PageQuery & { readonly state?: 'up' | 'down' | undefined }>;
type UpdateInput = Input<HostParams, DryRunQuery, HostChanges>;
type TokenInput = Input<
  object,
  object,
  { readonly host?: string | undefined; readonly simulated?: boolean | undefined }
>;

export interface HostHandlers {
  readonly listHosts: Handler<ListInput, Page<HostView>>;
  readonly showHost: Handler<Input<HostParams>, HostView>;
  readonly updateHost: Handler<UpdateInput, HostView | DryRunView>;
  readonly revokeHost: Handler<Input<HostParams>, HostView>;
  readonly reenrollHost: Handler<Input<HostParams>, JoinTokenView>;
  readonly createJoinToken: Handler<TokenInput, JoinTokenView>;
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
      return toHostView(await findHost(db, scopeOf(caller), params), clock.now());
    },

    updateHost: (caller, input) => updateHost(deps, caller, input),

    async revokeHost(caller, { params }) {
      const view = await act(deps, async (running) => {
        const row = await findHost(running.tx, scopeOf(caller), { ...params, isLocked: true });
        const after = await revoke(running, row);
        const { userId } = caller;
        await recordEvents(running, [hostEvent(row, 'host.revoked', { userId })]);
        return toHostView(after, running.now);
      });
      forgetCredentials();
      return view;
    },

    reenrollHost(caller, { params }) {
      return act(deps, async (running) => {
        const row = await findHost(running.tx, scopeOf(caller), params);
        const known = { hostName: row.name, isReenrol: true, isSimulated: row.simulated };
        return makeJoinToken(deps, running, { caller, ...known });
      });
    },

    // A repetition just makes another token; storing the answer for its key would keep the token in clear.
    createJoinToken(caller, { body }) {
      return act(deps, (running) =>
        makeJoinToken(deps, running, {
          caller,
          hostName: body.host ?? null,
          isReenrol: false,
          isSimulated: body.simulated ?? false,
        }),
      );
    },
  };
}

async function listHosts(
  { db, clock }: ConductorDeps,
  caller: Caller,
  query: ListInput['query'],
): Promise<Page<HostView>> {
  const [after] = fromMarker(query.marker, 1) ?? [];
  let rows = db
    .selectFrom('host')
    .selectAll()
    .where(hostsInScope(scopeOf(caller)))
    .orderBy('name')
    .limit(rowsWanted(query));
  if (after !== undefined) rows = rows.where('name', '>', after);
  if (query.state === 'up') rows = rows.where('lease_expires_at', '>', clock.now());
  if (query.state === 'down') {
    rows = rows.where((eb) =>
      eb.or([eb('lease_expires_at', 'is', null), eb('lease_expires_at', '<=', clock.now())]),
    );
  }
  return toPage(await rows.execute(), query, {
    keyOf: ({ name }) => [name],
    toItem: (row) => toHostView(row, clock.now()),
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
  if (query.dry_run === true) {
    return dryRun(deps, async (running) => changesOf(await read(running, false), body));
  }
  return act(deps, async (running) => {
    const row = await read(running, true);
    const after = await writeHost(running, row, body);
    await recordEvents(running, [
      hostEvent(row, body.status === undefined ? 'host.updated' : `host.${body.status}`, {
        userId: caller.userId,
        data: { ...body },
      }),
    ]);
    running.wakeUps.add('deployments');
    return toHostView(after, running.now);
  });
}

function hostEvent(
  row: HostRow,
  kind: string,
  more: { readonly userId: string; readonly data?: Readonly<Record<string, unknown>> },
): Parameters<typeof recordEvents>[1][number] {
  return {
    kind,
    subjectKind: 'host',
    subjectId: row.id,
    hostId: row.id,
    userId: more.userId,
    data: { name: row.name, ...more.data },
  };
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

/** The lease cannot be renewed any more; what is attached stays attached. */
function revoke({ tx, now }: Act, row: HostRow): Promise<HostRow> {
  return tx
    .updateTable('host')
    .set({
      credential_hash: null,
      revoked_at: now,
      updated_at: changedAt(row, now),
    })
    .where('id', '=', row.id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** The agent API's operations. The server has found out who speaks; who holds the host's lease is checked here. */
import { ServiceError } from '@cyborg/model/errors';

import type { ConductorDeps, Ledger } from '../deps.ts';
import { offerInventories, type OfferBody } from '../inventory/offer.ts';
import { putInventory, type InventoryBody } from '../inventory/put.ts';
import { listHeld, listTaken, type HeldView, type TakenView } from '../orders/orders.ts';
import type { AgentHost } from './credentials.ts';
import { makeShowDesired, type DesiredQuery, type DesiredView } from './desired.ts';
import { enroll, type EnrollBody, type EnrollView } from './enroll.ts';
import { makeLeases, type LeaseBody, type LeaseView } from './lease.ts';
import { makeRefusalWatch } from './refusals.ts';
import { takeReport, type ReportBody } from './report.ts';

export interface AgentInput<Params = object, Query = object, Body = undefined> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** Aborted when the agent hangs up. */
  readonly signal?: AbortSignal | undefined;
}

/** `host` is null for the one call that needs no credential: `enroll`. */
type AgentHandler<Input, View> = (host: AgentHost | null, input: Input) => Promise<View>;

export interface HeldPage {
  readonly ledger: Ledger;
  readonly items: readonly HeldView[];
  readonly next: string | null;
  /** With the first page. */
  readonly taken?: readonly TakenView[];
}

type PutInput = AgentInput<{ readonly backend_id: string }, object, InventoryBody>;
type HeldInput = AgentInput<object, { readonly marker?: string | undefined }>;

export interface AgentHandlers {
  readonly enroll: AgentHandler<AgentInput<object, object, EnrollBody>, EnrollView>;
  readonly renewLease: AgentHandler<AgentInput<object, object, LeaseBody>, LeaseView>;
  readonly offerInventories: AgentHandler<
    AgentInput<object, object, OfferBody>,
    { readonly wanted: readonly string[] }
  >;
  readonly putInventory: AgentHandler<PutInput, null>;
  readonly showDesired: AgentHandler<AgentInput<object, DesiredQuery>, DesiredView>;
  readonly listHeld: AgentHandler<HeldInput, HeldPage>;
  readonly report: AgentHandler<AgentInput<object, object, ReportBody>, null>;
}

export function makeAgentHandlers(deps: ConductorDeps): AgentHandlers {
  const renewLease = makeLeases(deps);
  const showDesired = makeShowDesired(deps);
  const watch = makeRefusalWatch(deps);
  return {
    enroll: (_host, { body }) => enroll(deps, body),
    renewLease: async (host, { body }) =>
      watch(known(host), body.instance, async () => renewLease(known(host), body)),
    offerInventories: async (host, { body }) =>
      watch(known(host), body.instance, () => offerInventories(deps, known(host), body)),
    putInventory: async (host, { params, body }) =>
      watch(known(host), body.instance, () =>
        putInventory(deps, known(host), { backendId: params.backend_id, body }),
      ),
    showDesired: async (host, { query, signal }) => showDesired(known(host), { query, signal }),
    async listHeld(host, { query }) {
      const { id } = known(host);
      const page = await listHeld(deps.db, id, query.marker);
      const isFirst = query.marker === undefined;
      const taken = isFirst ? { taken: await listTaken(deps.db, id) } : {};
      return { ledger: deps.ledger, ...page, ...taken };
    },
    report: async (host, { body }) =>
      watch(known(host), body.instance, () => takeReport(deps, known(host), body)),
  };
}

function known(host: AgentHost | null): AgentHost {
  if (host !== null) return host;
  throw new ServiceError('not-authenticated', "Send the host's credential as a bearer token.");
}

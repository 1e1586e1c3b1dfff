/** The shape of every operation's handler: no HTTP in it. */
import type { Caller } from '@cyborg/model/caller';

export interface Input<Params = object, Query = object, Body = undefined> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly idempotencyKey?: string | undefined;
  readonly ifMatch?: string | undefined;
}

export type Handler<In, View> = (caller: Caller, input: In) => Promise<View>;

export interface DryRunQuery {
  readonly dry_run?: boolean | undefined;
}

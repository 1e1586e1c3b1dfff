/** A route of v2 as data: who may, what it takes, what it answers. */
import type { Caller } from '@cyborg/model/caller';
import type { V2Rule } from '@cyborg/model/v2/policy';

/** What a handler is given. */
export interface V2Call {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
  /** Only the names that the route knows; of a repeated one the last. */
  readonly query: Readonly<Record<string, string>>;
  /** Parsed JSON; undefined for a route that takes none. */
  readonly body: unknown;
  /** The microversion is 2.`minor`. */
  readonly minor: number;
  /** Scheme and host as the client used them, for links. */
  readonly base: string;
  readonly requestId: string;
  /** Aborted when the client is gone or the server stops. */
  readonly signal: AbortSignal;
}

/** A list that is written while it is read: `{"<name>": [ … ]}`. */
export interface StreamedList {
  readonly listName: string;
  /** Arrays of items that are ready for JSON. */
  readonly batches: AsyncIterable<readonly object[]>;
}

export interface V2Route {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Below `/v2`, e.g. `/devices/:uuid`. */
  readonly path: string;
  /** null: open to everybody, without credentials. */
  readonly rule: V2Rule | null;
  /** Names of the query's arguments; any other is refused. `filters` knows its indexed forms too. */
  readonly query?: readonly string[];
  /** Name of the body's argument: refused when the body is empty. Without it a body is ignored. */
  readonly body?: string;
  readonly success: 200 | 201 | 202 | 204;
  /** The answer's body; nothing for 202 and 204. */
  handle(call: V2Call): Promise<object | undefined>;
}

const listMark: unique symbol = Symbol('streamed list');

export function streamed(
  listName: string,
  batches: AsyncIterable<readonly object[]>,
): StreamedList & { readonly [listMark]: true } {
  return { listName, batches, [listMark]: true };
}

export function isStreamed(answer: object): answer is StreamedList {
  return listMark in answer;
}

import { v3Routes, type V3OperationName } from '@cyborg/api-spec/routes';
import type { V3Body, V3Params, V3Query, V3Result } from '@cyborg/api-spec/v3';

import {
  createOperations,
  type CallOptions,
  type Operation,
  type Part,
} from './operation-client.ts';
import type { Transport } from './transport.ts';

export type V3Args<Name extends V3OperationName> = Part<'params', V3Params<Name>> &
  Part<'query', V3Query<Name>> &
  Part<'body', V3Body<Name>> &
  CallOptions;

/** One function per operation of the v3 API, e.g. `client.showHost({ params: { host } })`. */
export type V3Client = {
  readonly [Name in V3OperationName]: Operation<V3Args<Name>, V3Result<Name>>;
};

/** @throws ApiError and ConnectionError, as the transport does, from every function. */
export function createV3Client(transport: Transport): V3Client {
  // The server validates its answers against the schemas that these types come from.
  return createOperations(transport, v3Routes) as V3Client;
}

interface Page<Item> {
  readonly items: readonly Item[];
  readonly next: string | null;
}
interface PageQuery {
  readonly limit?: number | undefined;
  readonly marker?: string | undefined;
}
interface PageArgs {
  readonly query?: PageQuery | undefined;
}

const itemsPerPage = 1000;

/** Every item of a list, page by page: `for await (const host of all(client.listHosts, {}))`. */
export async function* all<Item, Args extends PageArgs | undefined>(
  list: (args: Args) => Promise<Page<Item>>,
  args: NonNullable<NoInfer<Args>>,
): AsyncGenerator<Item> {
  let marker = args.query?.marker;
  do {
    const query = {
      limit: itemsPerPage,
      ...args.query,
      ...(marker === undefined ? {} : { marker }),
    };
    const page: Page<Item> = await list({ ...args, query });
    yield* page.items;
    marker = page.next ?? undefined;
  } while (marker !== undefined);
}

export type { V3Result } from '@cyborg/api-spec/v3';

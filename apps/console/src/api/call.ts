/** Operations of the v3 API by name, typed from its specs, which the bundle does not hold. */
import { createContext, useContext } from 'react';

import type { Transport } from '@cyborg/api-client/transport';
import { fillPath } from '@cyborg/api-client/url';
import type { V3Args, V3Result } from '@cyborg/api-client/v3';
import { v3Routes } from '@cyborg/api-client/routes';

export type OperationName = keyof typeof v3Routes;
export type Args<Name extends OperationName> = V3Args<Name>;
export type Result<Name extends OperationName> = V3Result<Name>;

export interface Answer<Body> {
  readonly body: Body;
  /** What an update of it sends back as If-Match. */
  readonly etag: string | undefined;
}

interface Sending {
  readonly signal?: AbortSignal | undefined;
  readonly idempotencyKey?: string | undefined;
  readonly ifMatch?: string | undefined;
}

export type Call = <Name extends OperationName>(
  name: Name,
  args: Args<Name>,
  sending?: Sending,
) => Promise<Answer<Result<Name>>>;

interface LooseArgs {
  readonly params?: Readonly<Record<string, unknown>>;
  readonly query?: Parameters<Transport['request']>[0]['query'];
  readonly body?: unknown;
}

export function makeCall(transport: Transport): Call {
  return async <Name extends OperationName>(
    name: Name,
    args: Args<Name>,
    { signal, idempotencyKey, ifMatch }: Sending = {},
  ): Promise<Answer<Result<Name>>> => {
    const { params = {}, query, body }: LooseArgs = args as LooseArgs;
    const { method, url } = v3Routes[name];
    const answer = await transport.request({
      method,
      path: fillPath(url, params),
      query,
      body,
      signal,
      headers: {
        ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
        ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      },
    });
    // The server's answers are those of the specs from which the type comes: its tests compare.
    return { body: answer.body as Result<Name>, etag: answer.headers['etag'] };
  };
}

const CallContext = createContext<Call | undefined>(undefined);
export const CallProvider = CallContext.Provider;

export function useCall(): Call {
  const call = useContext(CallContext);
  if (call === undefined) throw new Error('useCall needs a CallProvider above it.');
  return call;
}

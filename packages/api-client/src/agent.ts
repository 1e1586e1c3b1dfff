import type { AgentBody, AgentParams, AgentQuery, AgentResult } from '@cyborg/api-spec/agent';
import { agentRoutes, type AgentOperationName } from '@cyborg/api-spec/routes';

import {
  createOperations,
  type CallOptions,
  type Operation,
  type Part,
} from './operation-client.ts';
import type { Transport } from './transport.ts';

export type AgentArgs<Name extends AgentOperationName> = Part<'params', AgentParams<Name>> &
  Part<'query', AgentQuery<Name>> &
  Part<'body', AgentBody<Name>> &
  CallOptions;

/** One function per operation of the agent API, e.g. `client.renewLease({ body })`. */
export type AgentClient = {
  readonly [Name in AgentOperationName]: Operation<AgentArgs<Name>, AgentResult<Name>>;
};

/** @throws ApiError and ConnectionError, as the transport does, from every function. */
export function createAgentClient(transport: Transport): AgentClient {
  return createOperations(transport, agentRoutes) as AgentClient;
}

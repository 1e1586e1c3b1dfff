/** The agent API's handlers by the names of its operations. */
import type { AgentOperationName } from '@cyborg/api-spec/routes';
import type { AgentHost } from '@cyborg/conductor/agents/credentials';

export interface AgentInput {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
  /** Aborted when the agent is gone or the server stops: a long poll answers with what it has. */
  readonly signal: AbortSignal;
}

export type AgentHandlers = {
  readonly [Name in AgentOperationName]: (
    host: AgentHost | null,
    input: AgentInput,
  ) => Promise<unknown>;
};

export interface AgentApi {
  authenticate(credential: string): Promise<AgentHost | undefined>;
  readonly handlers: AgentHandlers;
}

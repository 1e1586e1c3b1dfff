import type { AgentOperationName } from '@cyborg/api-spec/routes';
import type { AgentHost } from '@cyborg/conductor/agents/credentials';
import type { AgentHandlers } from '@cyborg/conductor/agents/handlers';

export interface AgentApi {
  authenticate(credential: string): Promise<AgentHost | undefined>;
  /** By the names of the operations; a missing one does not compile. */
  readonly handlers: Pick<AgentHandlers, AgentOperationName>;
}

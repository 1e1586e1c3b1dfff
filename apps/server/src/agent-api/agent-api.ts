import type { AgentOperationName } from '@cyborg/api-spec/routes';
import type { AgentHost } from '@cyborg/conductor/agents/credentials';
import type { OrderedBytes } from '@cyborg/conductor/programs/ordered-image';
import type { AgentHandlers } from '@cyborg/conductor/agents/handlers';

export interface AgentApi {
  authenticate(credential: string): Promise<AgentHost | undefined>;
  /** By the names of the operations; a missing one does not compile. */
  /** undefined when this host is not to write it. */
  findImage(host: AgentHost, sha256: string): Promise<OrderedBytes | undefined>;
  readonly handlers: Pick<AgentHandlers, AgentOperationName>;
}

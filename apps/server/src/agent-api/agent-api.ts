import type { AgentOperationName } from '@cyborg/api-spec/routes';
import type { AgentHost } from '@cyborg/conductor/agents/credentials';
import type { OrderedBytes } from '@cyborg/conductor/programs/ordered-image';
import type { AgentHandlers } from '@cyborg/conductor/agents/handlers';

export interface AgentApi {
  authenticate(credential: string): Promise<AgentHost | undefined>;
  /** undefined when this host is not to write it. */
  findImage(host: AgentHost, sha256: string): Promise<OrderedBytes | undefined>;
  /** undefined when this host is not to run it. */
  findPackage(host: AgentHost, digest: string): Promise<OrderedBytes | undefined>;
  /** By the names of the operations; a missing one does not compile. */
  readonly handlers: Pick<AgentHandlers, AgentOperationName>;
}

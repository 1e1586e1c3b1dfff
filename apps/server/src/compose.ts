/** The conductor's parts under the names by which HTTP calls them. */
import { makeAuthenticator } from '@cyborg/conductor/agents/credentials';
import { makeAgentHandlers } from '@cyborg/conductor/agents/handlers';
import { desiredFingerprints } from '@cyborg/conductor/agents/desired';
import { makeCallerHandlers } from '@cyborg/conductor/caller/handlers';
import { makeAcceleratorHandlers } from '@cyborg/conductor/accelerators/handlers';
import { makeAttachmentHandlers } from '@cyborg/conductor/attachments/handlers';
import { makeDeploymentHandlers } from '@cyborg/conductor/deployments/handlers';
import { makeDriverHandlers } from '@cyborg/conductor/drivers/handlers';
import { makeDiscoveryHandlers } from '@cyborg/conductor/discoveries/handlers';
import { makeUnclaimedHandlers } from '@cyborg/conductor/unclaimed/handlers';
import { makeAcceleratorCreationHandlers } from '@cyborg/conductor/accelerators/creation-handlers';
import { makeOperationHandlers } from '@cyborg/conductor/operations/handlers';
import { makeProfileHandlers } from '@cyborg/conductor/profiles/handlers';
import { makeQuotaHandlers } from '@cyborg/conductor/quotas/handlers';
import type { ConductorDeps } from '@cyborg/conductor/deps';
import { makeEventHandlers } from '@cyborg/conductor/events/handlers';
import { makeGrantHandlers } from '@cyborg/conductor/grants/handlers';
import { makeHostHandlers } from '@cyborg/conductor/hosts/handlers';
import { makeInstanceHandlers } from '@cyborg/conductor/instances/handlers';
import { makeServiceHandlers } from '@cyborg/conductor/services/handlers';
import { makeBackendHandlers } from '@cyborg/conductor/backends/handlers';
import { makeDeviceHandlers } from '@cyborg/conductor/devices/handlers';
import { recheckWaiting } from '@cyborg/conductor/recheck';
import type { Reconciler } from '@cyborg/conductor/reconciler';
import { advanceHostOperations } from '@cyborg/conductor/deployments/advance-operations';
import { rollOut } from '@cyborg/conductor/deployments/roll-out';
import { dispatchAttachments } from '@cyborg/conductor/reconcilers/dispatch-attachments';
import { forgetIdempotencyKeys } from '@cyborg/conductor/reconcilers/forget-idempotency-keys';
import { numberEvents } from '@cyborg/conductor/reconcilers/number-events';

import type { AgentApi } from './agent-api/agent-api.ts';
import type { V3Handlers } from './v3/handlers.ts';

export interface Composed {
  readonly v3: V3Handlers;
  readonly agent: AgentApi;
  /** Everything that a conductor does by itself, `waiting` included. */
  readonly reconcilers: readonly Reconciler[];
  /** What every process with waiting readers needs. */
  readonly waiting: readonly Reconciler[];
}

export function composeConductor(deps: ConductorDeps): Composed {
  const authenticator = makeAuthenticator(deps);
  const waiting = [recheckWaiting(deps, desiredFingerprints)];
  return {
    v3: {
      ...makeCallerHandlers(),
      ...makeEventHandlers(deps),
      ...makeGrantHandlers(deps),
      ...makeAcceleratorHandlers(deps),
      ...makeAttachmentHandlers(deps),
      ...makeDeploymentHandlers(deps),
      ...makeDriverHandlers(deps),
      ...makeAcceleratorCreationHandlers(deps),
      ...makeUnclaimedHandlers(deps),
      ...makeDiscoveryHandlers(deps),
      ...makeOperationHandlers(deps),
      ...makeProfileHandlers(deps),
      ...makeQuotaHandlers(deps),
      ...makeBackendHandlers(deps),
      ...makeDeviceHandlers(deps),
      ...makeInstanceHandlers(deps),
      ...makeServiceHandlers(deps),
      ...makeHostHandlers(deps, () => authenticator.forget()),
    } as unknown as V3Handlers,
    agent: {
      authenticate: (credential) => authenticator.authenticateAgent(credential),
      handlers: makeAgentHandlers(deps),
    },
    reconcilers: [
      ...waiting,
      numberEvents(deps),
      forgetIdempotencyKeys(deps),
      dispatchAttachments(deps),
      rollOut(deps),
      advanceHostOperations(deps),
    ],
    waiting,
  };
}

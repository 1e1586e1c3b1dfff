/** The conductor's parts under the names by which HTTP calls them; a missing or mistyped one does not compile. */
import { makeAcceleratorCreationHandlers } from '@cyborg/conductor/accelerators/creation-handlers';
import { makeAcceleratorHandlers } from '@cyborg/conductor/accelerators/handlers';
import { makeAuthenticator } from '@cyborg/conductor/agents/credentials';
import { hostPrints } from '@cyborg/conductor/agents/desired';
import { makeAgentHandlers } from '@cyborg/conductor/agents/handlers';
import { makeAttachmentHandlers } from '@cyborg/conductor/attachments/handlers';
import { makeBackendHandlers } from '@cyborg/conductor/backends/handlers';
import { makeCallerHandlers } from '@cyborg/conductor/caller/handlers';
import { makeDeploymentHandlers } from '@cyborg/conductor/deployments/handlers';
import type { ConductorDeps } from '@cyborg/conductor/deps';
import { makeDeviceHandlers } from '@cyborg/conductor/devices/handlers';
import { makeDiscoveryHandlers } from '@cyborg/conductor/discoveries/handlers';
import { makeConformanceHandlers } from '@cyborg/conductor/drivers/conformance-handlers';
import { makeDriverHandlers } from '@cyborg/conductor/drivers/handlers';
import { openPackageOfHost } from '@cyborg/conductor/drivers/open-package';
import { makeDriverVersionHandlers } from '@cyborg/conductor/drivers/version-handlers';
import { makeEventHandlers } from '@cyborg/conductor/events/handlers';
import { makeGrantHandlers } from '@cyborg/conductor/grants/handlers';
import { makeHostHandlers } from '@cyborg/conductor/hosts/handlers';
import { makeInstanceHandlers } from '@cyborg/conductor/instances/handlers';
import { makeOperationHandlers } from '@cyborg/conductor/operations/handlers';
import { makeProfileHandlers } from '@cyborg/conductor/profiles/handlers';
import { makeQuotaHandlers } from '@cyborg/conductor/quotas/handlers';
import { recheckWaiting } from '@cyborg/conductor/recheck';
import { novaReconcilers } from '@cyborg/conductor/nova/reconcilers';
import { placementReconcilers } from '@cyborg/conductor/placement/reconcile-placement';
import { makeProgramHandlers } from '@cyborg/conductor/programs/handlers';
import { openOrderedImage } from '@cyborg/conductor/programs/ordered-image';
import { programReconcilers } from '@cyborg/conductor/programs/reconcilers';
import type { Reconciler } from '@cyborg/conductor/reconciler';
import { attachmentReconcilers } from '@cyborg/conductor/reconcilers/attachment-reconcilers';
import { fleetReconcilers } from '@cyborg/conductor/reconcilers/fleet';
import { makeServiceHandlers } from '@cyborg/conductor/services/handlers';
import { makeSummaryHandlers } from '@cyborg/conductor/summary/handlers';
import { makeUnclaimedHandlers } from '@cyborg/conductor/unclaimed/handlers';
import { makeV2Handlers } from '@cyborg/conductor/v2/handlers';
import type { V2Handlers } from '@cyborg/conductor/v2/handlers';

import type { AgentApi } from './agent-api/agent-api.ts';
import type { V3Handlers } from './v3/handlers.ts';

export interface Composed {
  readonly v2: V2Handlers;
  readonly v3: V3Handlers;
  readonly agent: AgentApi;
  /** What a conductor does by itself. */
  readonly reconcilers: readonly Reconciler[];
  /** What every process needs: wakes readers, and those of the reconcilers that run in it. */
  readonly recheck: (work: readonly Reconciler[]) => Reconciler;
}

export function composeConductor(deps: ConductorDeps): Composed {
  const authenticator = makeAuthenticator(deps);
  return {
    v2: makeV2Handlers(deps),
    v3: {
      ...makeAcceleratorHandlers(deps),
      ...makeAcceleratorCreationHandlers(deps),
      ...makeAttachmentHandlers(deps),
      ...makeBackendHandlers(deps),
      ...makeCallerHandlers(),
      ...makeDeploymentHandlers(deps),
      ...makeDeviceHandlers(deps),
      ...makeDiscoveryHandlers(deps),
      ...makeDriverHandlers(deps),
      ...makeDriverVersionHandlers(deps),
      ...makeConformanceHandlers(deps),
      ...makeEventHandlers(deps),
      ...makeGrantHandlers(deps),
      ...makeHostHandlers(deps, () => authenticator.forget()),
      ...makeInstanceHandlers(deps),
      ...makeOperationHandlers(deps),
      ...makeProfileHandlers(deps),
      ...makeProgramHandlers(deps),
      ...makeQuotaHandlers(deps),
      ...makeServiceHandlers(deps),
      ...makeSummaryHandlers(deps),
      ...makeUnclaimedHandlers(deps),
    },
    agent: {
      authenticate: (credential) => authenticator.authenticateAgent(credential),
      findImage: (host, sha256) => openOrderedImage(deps.db, { hostId: host.id, sha256 }),
      findPackage: (host, digest) => openPackageOfHost(deps.db, { hostId: host.id, digest }),
      handlers: makeAgentHandlers(deps),
    },
    reconcilers: [
      ...attachmentReconcilers(deps),
      ...fleetReconcilers(deps),
      ...placementReconcilers(deps),
      ...novaReconcilers(deps),
      ...programReconcilers(deps),
    ],
    recheck: (work) => recheckWaiting(deps, { hostPrints, work }),
  };
}

/** Every route of v2: each resource has a file of its own. */
import type { V2Handlers } from '@cyborg/conductor/v2/handlers';

import { arqRoutes } from './accelerator-requests.ts';
import { attributeRoutes } from './attributes.ts';
import { deployableRoutes } from './deployables.ts';
import { profileRoutes } from './device-profiles.ts';
import { deviceRoutes } from './devices.ts';
import { discoveryRoutes } from './discovery.ts';
import type { V2Route } from './route.ts';

export function v2Routes(handlers: V2Handlers): readonly V2Route[] {
  return [
    ...discoveryRoutes,
    ...deviceRoutes(handlers),
    ...deployableRoutes(handlers),
    ...attributeRoutes(handlers),
    ...profileRoutes(handlers),
    ...arqRoutes(handlers.arqs),
  ];
}

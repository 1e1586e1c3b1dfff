/** The acts and readings behind the v2 API, by resource. Links, dates and headers are the server's. */
import type { ConductorDeps } from '../deps.ts';
import { makeArqHandlers, type ArqHandlers } from './arqs/handlers.ts';
import { makeV2AttributeHandlers, type V2AttributeHandlers } from './attributes.ts';
import { makeV2DeployableHandlers, type V2DeployableHandlers } from './deployables.ts';
import { makeV2ProfileHandlers, type V2ProfileHandlers } from './device-profiles.ts';
import { makeV2DeviceHandlers, type V2DeviceHandlers } from './devices.ts';

export interface V2Handlers {
  readonly arqs: ArqHandlers;
  readonly attributes: V2AttributeHandlers;
  readonly deployables: V2DeployableHandlers;
  readonly devices: V2DeviceHandlers;
  readonly profiles: V2ProfileHandlers;
}

export function makeV2Handlers(deps: ConductorDeps): V2Handlers {
  return {
    arqs: makeArqHandlers(deps),
    attributes: makeV2AttributeHandlers(deps),
    deployables: makeV2DeployableHandlers(deps),
    devices: makeV2DeviceHandlers(deps),
    profiles: makeV2ProfileHandlers(deps),
  };
}

/** The acts and readings behind the v2 API, by resource. Links, dates and headers are the server's. */
import type { ConductorDeps } from '../deps.ts';
import { makeArqHandlers, type ArqHandlers } from './arqs/handlers.ts';

export interface V2Handlers {
  readonly arqs: ArqHandlers;
  readonly now: () => Date;
}

export function makeV2Handlers(deps: ConductorDeps): V2Handlers {
  return { now: () => deps.clock.now(), arqs: makeArqHandlers(deps) };
}

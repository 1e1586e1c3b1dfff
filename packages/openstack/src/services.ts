import type { Clock } from '@cyborg/service/clock';

import { makeGlance } from './glance.ts';
import type { GlanceClient } from './glance.ts';
import { makeNova } from './nova.ts';
import type { NovaClient } from './nova.ts';
import { makePlacement } from './placement.ts';
import type { PlacementClient } from './placement.ts';
import type { Session } from './session.ts';

/** What there is of OpenStack beside us; what is absent is not configured, and left alone. */
export interface OpenStackServices {
  readonly nova?: NovaClient;
  readonly placement?: PlacementClient;
  readonly glance?: GlanceClient;
}

export interface ServiceChoice {
  readonly usesNova: boolean;
  readonly usesPlacement: boolean;
}

/** Glance is only asked when a profile programs an image, and needs no choice. */
export function makeServices(
  session: Session,
  { usesNova, usesPlacement, clock }: ServiceChoice & { clock: Clock },
): OpenStackServices {
  return {
    glance: makeGlance(session, { clock }),
    ...(usesNova ? { nova: makeNova(session) } : {}),
    ...(usesPlacement ? { placement: makePlacement(session) } : {}),
  };
}

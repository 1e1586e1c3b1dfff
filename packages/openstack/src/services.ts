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
  /** What only our agents plug is written to Placement too, under classes that no flavor of Nova's asks for. */
  readonly placesHotplug?: boolean;
}

export interface ServiceChoice {
  readonly usesNova: boolean;
  readonly usesPlacement: boolean;
  readonly placesHotplug: boolean;
}

/** Glance is only asked when a profile programs an image, and needs no choice. */
export function makeServices(
  session: Session,
  { usesNova, usesPlacement, placesHotplug, clock }: ServiceChoice & { clock: Clock },
): OpenStackServices {
  return {
    glance: makeGlance(session, { clock }),
    placesHotplug,
    ...(usesNova ? { nova: makeNova(session) } : {}),
    ...(usesPlacement ? { placement: makePlacement(session) } : {}),
  };
}

/** The `fake` driver: a card that is not there, as upstream's fake_driver has it, for trying Nova and Placement. */
import { defineDriver } from '@cyborg/driver-sdk/define-driver';
import manifest from '../package.json' with { type: 'json' };
import { cardKind } from './card.ts';

export const fakeDriver = defineDriver({
  id: 'fake',
  version: manifest.version,
  kinds: { card: cardKind },
});

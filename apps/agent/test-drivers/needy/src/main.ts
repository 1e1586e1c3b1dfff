/** A driver for tests: it does nothing, but its manifest needs something of the host. */
import { defineDriver, defineKind } from '@cyborg/driver-sdk/define-driver';
import { serve } from '@cyborg/driver-sdk/serve';

const kind = defineKind({
  title: 'For tests',
  config: { type: 'object', properties: {}, additionalProperties: false },
  delegable: [],
  discover: () => ({ devices: [], services: [] }),
  prepare: () => ({ kind: 'virtio-rng', source: '/dev/urandom' }),
  release: () => undefined,
  clean: () => ['nothing was there'],
});

await serve(
  defineDriver({
    id: 'needy',
    version: '1.0.0',
    kinds: { demo: kind, module: kind, argument: kind },
  }),
);

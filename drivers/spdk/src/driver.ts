/** The `spdk` driver: block devices of SPDK's daemon, given to guests as vhost-user-blk. No PCI in it. */
import { defineDriver } from '@cyborg/driver-sdk/define-driver';
import manifest from '../package.json' with { type: 'json' };
import { spdkKind } from './kind.ts';

export const spdkDriver = defineDriver({
  id: 'spdk',
  version: manifest.version,
  kinds: { spdk: spdkKind },
});

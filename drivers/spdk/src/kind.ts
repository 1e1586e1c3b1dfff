/** Kind `spdk`: volumes and bdevs of one SPDK daemon. */
import { defineKind, type Kind } from '@cyborg/driver-sdk/define-driver';
import { clean, prepare, release } from './acts.ts';
import { health, stats } from './figures.ts';
import { discover } from './inventory.ts';
import { checkPools, config } from './volumes.ts';

export const spdkKind: Kind = defineKind({
  title: 'Block devices of SPDK for guests: volumes of its pools, and whole bdevs',
  config,
  delegable: [],
  install: (context) => {
    checkPools(context.config);
    return { status: 'ready' };
  },
  discover: (context) => discover(context),
  prepare: (context, order) => prepare(context, order),
  release: (context, order) => release(context, order),
  clean: (context, order) => clean(context, order),
  health: (context) => health(context),
  stats: (context) => stats(context),
});

/** The life of an accelerator (DESIGN §5). Presence and health are separate dimensions. */
import type { Machine } from './lifecycle.ts';

export type AcceleratorState =
  | 'withheld'
  | 'available'
  | 'reserved'
  | 'attached'
  | 'cleaning'
  | 'cleaning_failed'
  | 'updating'
  | 'orphaned';

export type AcceleratorEvent =
  | 'offer'
  | 'withhold'
  | 'reserve'
  | 'unreserve'
  | 'attach'
  | 'take'
  | 'clean'
  | 'clean-withheld'
  | 'fail-cleaning'
  | 'retry-cleaning'
  | 'update'
  | 'update-withheld'
  | 'orphan'
  | 'adopt'
  | 'find-held';

export const acceleratorLifecycle: Machine<AcceleratorState, AcceleratorEvent> = {
  noun: 'an accelerator',
  rules: {
    // `find-held`: a guest has it, of which the ledger knows nothing; it is clean when that one has let go.
    withheld: {
      settled: true,
      on: {
        offer: 'available',
        withhold: 'withheld',
        update: 'updating',
        adopt: 'attached',
        'find-held': 'cleaning',
      },
    },
    available: {
      settled: true,
      on: {
        withhold: 'withheld',
        offer: 'available',
        reserve: 'reserved',
        update: 'updating',
        adopt: 'attached',
        'find-held': 'cleaning',
      },
    },
    // `unreserve`: nothing was prepared on the host. `take`: something was. `update`: its image is still being written.
    reserved: {
      settled: false,
      on: {
        unreserve: 'available',
        'update-withheld': 'withheld',
        update: 'updating',
        take: 'cleaning',
        attach: 'attached',
      },
    },
    attached: { settled: true, on: { take: 'cleaning', orphan: 'orphaned' } },
    cleaning: {
      settled: false,
      on: {
        clean: 'available',
        'clean-withheld': 'withheld',
        'fail-cleaning': 'cleaning_failed',
        adopt: 'attached',
      },
    },
    cleaning_failed: {
      settled: true,
      on: {
        'retry-cleaning': 'cleaning',
        withhold: 'withheld',
        offer: 'available',
        adopt: 'attached',
      },
    },
    updating: { settled: false, on: { offer: 'available', 'update-withheld': 'withheld' } },
    orphaned: { settled: true, on: { adopt: 'attached', take: 'cleaning' } },
  },
};

/** States in which somebody holds the accelerator or is being given it. */
export const heldAcceleratorStates = ['reserved', 'attached', 'orphaned'] as const;

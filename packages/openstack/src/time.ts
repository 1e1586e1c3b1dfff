import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';

/** As little as is needed, so that a small program can give it. Keystone's wall clock may differ from ours: only durations count. */
export type SessionClock = Pick<Clock, 'monotonicMs' | 'sleep' | 'setTimer'>;
export type SessionRng = Pick<Rng, 'fraction'>;

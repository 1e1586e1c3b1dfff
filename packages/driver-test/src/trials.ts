/** Every trial, in the order in which they are run: what others need comes first. */
import type { Trial } from './kit.ts';
import { discover } from './trials/discover.ts';
import { ending } from './trials/ending.ts';
import { epochs } from './trials/epochs.ts';
import { framing } from './trials/framing.ts';
import { history } from './trials/history.ts';
import { initialize } from './trials/initialize.ts';
import { install } from './trials/install.ts';
import { limits } from './trials/limits.ts';
import { prepare } from './trials/prepare.ts';
import { release } from './trials/release.ts';
import { rpc } from './trials/rpc.ts';
import { update } from './trials/update.ts';

const all: readonly Trial[] = [
  ...initialize,
  ...framing,
  ...rpc,
  ...install,
  ...discover,
  ...prepare,
  ...release,
  ...epochs,
  ...update,
  ...limits,
  ...ending,
  ...history,
];

/** In that order, but each after what it needs. */
export const trials: readonly Trial[] = inOrder(all);

function inOrder(given: readonly Trial[]): Trial[] {
  const ordered: Trial[] = [];
  const place = (trial: Trial, above: readonly Trial[]): void => {
    if (ordered.includes(trial)) return;
    if (above.includes(trial)) throw new Error(`${trial.clause} needs itself`);
    for (const need of trial.needs ?? []) {
      const other = given.find(({ clause }) => clause === need);
      if (other !== undefined) place(other, [...above, trial]);
    }
    ordered.push(trial);
  };
  for (const trial of given) place(trial, []);
  return ordered;
}

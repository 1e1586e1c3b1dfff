/** Refuses with numbers of its own. */
import { Refusal, RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override unknown(): unknown {
    throw new Refusal(500, 'server error');
  }
}

new Wrong().start();

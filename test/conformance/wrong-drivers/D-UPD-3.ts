/** Writes whatever it is given. */
import { RightDriver } from './right.ts';

class Wrong extends RightDriver {
  override checkImage(): void {}
}

new Wrong().start();
